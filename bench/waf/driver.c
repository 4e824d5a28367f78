/* Sends requests through libmodsecurity by its C API on one thread, and prints one JSON line each: what was decided, or what
 * it cost. Built and run by `cargo xtask bench waf`; `crates/waf/examples/beside.rs` is its twin and writes the requests.
 *
 *     driver decide|time MILLISECONDS LEVEL REQUESTS CONF...
 *
 * REQUESTS is a list of fields `LENGTH:BYTES,`. A request is: name, method, uri, protocol (`1.1`), the number of its headers,
 * a name and a value for each, the body, and the status of the answer (0: there is none), its headers and its body alike. */
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    char *bytes;
    size_t length;
} Field;

typedef struct {
    Field *names, *values;
    size_t count;
} Headers;

typedef struct {
    Field name, method, uri, protocol, body, answer;
    Headers headers, answer_headers;
    int status;
} Request;

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *room(size_t count, size_t size) {
    void *made = calloc(count ? count : 1, size);
    if (!made) fail("out of memory");
    return made;
}

static int read_field(FILE *in, Field *field) {
    if (fscanf(in, "%zu:", &field->length) != 1) return 0;
    field->bytes = room(field->length + 1, 1);
    if (fread(field->bytes, 1, field->length, in) != field->length || getc(in) != ',') fail("requests are cut off");
    return 1;
}

static Field field(FILE *in) {
    Field read;
    if (!read_field(in, &read)) fail("requests are cut off");
    return read;
}

static Headers headers(FILE *in) {
    Headers read;
    read.count = strtoul(field(in).bytes, NULL, 10);
    read.names = room(read.count, sizeof(Field));
    read.values = room(read.count, sizeof(Field));
    for (size_t at = 0; at < read.count; at++) {
        read.names[at] = field(in);
        read.values[at] = field(in);
    }
    return read;
}

static Request *requests(const char *path, size_t *count) {
    FILE *in = fopen(path, "rb");
    if (!in) fail("requests cannot be opened");
    Request *all = NULL;
    Request one;
    for (*count = 0; read_field(in, &one.name); (*count)++) {
        one.method = field(in);
        one.uri = field(in);
        one.protocol = field(in);
        one.headers = headers(in);
        one.body = field(in);
        one.status = atoi(field(in).bytes);
        one.answer_headers = headers(in);
        one.answer = field(in);
        all = realloc(all, (*count + 1) * sizeof(Request));
        if (!all) fail("out of memory");
        all[*count] = one;
    }
    fclose(in);
    return all;
}

/* The ids of the rules that were told, in order. */
typedef struct {
    char ids[4096][16];
    size_t count;
    int wanted;
} Told;

static void told(void *data, const void *line) {
    Told *told = data;
    const char *id = told->wanted && line ? strstr(line, "[id \"") : NULL;
    if (!id || told->count == 4096) return;
    snprintf(told->ids[told->count++], 16, "%.*s", (int)strcspn(id + 5, "\""), id + 5);
}

static int is_refused(Transaction *transaction, int *status, Told *data) {
    ModSecurityIntervention it = {200, 0, NULL, NULL, 0};
    if (!msc_intervention(transaction, &it)) return 0;
    *status = it.status;
    told(data, it.log); /* the rule that refuses is told here and nowhere else */
    free(it.url);
    free(it.log);
    return 1;
}

/* The status of a refusal, or 0. */
static int examine(ModSecurity *engine, RulesSet *rules, const Request *request, Told *data) {
    Transaction *transaction = msc_new_transaction(engine, rules, data);
    int status = 0;
    msc_process_connection(transaction, "172.18.0.1", 40000, "127.0.0.1", 80);
    msc_process_uri(transaction, request->uri.bytes, request->method.bytes, request->protocol.bytes);
    for (size_t at = 0; at < request->headers.count; at++) {
        const Field *name = &request->headers.names[at], *value = &request->headers.values[at];
        msc_add_n_request_header(transaction, (unsigned char *)name->bytes, name->length, (unsigned char *)value->bytes,
                                 value->length);
    }
    msc_process_request_headers(transaction);
    if (is_refused(transaction, &status, data)) goto end;
    if (request->body.length)
        msc_append_request_body(transaction, (unsigned char *)request->body.bytes, request->body.length);
    msc_process_request_body(transaction);
    if (is_refused(transaction, &status, data) || !request->status) goto end;
    for (size_t at = 0; at < request->answer_headers.count; at++) {
        const Field *name = &request->answer_headers.names[at], *value = &request->answer_headers.values[at];
        msc_add_n_response_header(transaction, (unsigned char *)name->bytes, name->length,
                                  (unsigned char *)value->bytes, value->length);
    }
    msc_process_response_headers(transaction, request->status, "HTTP 1.1");
    if (is_refused(transaction, &status, data)) goto end;
    if (request->answer.length)
        msc_append_response_body(transaction, (unsigned char *)request->answer.bytes, request->answer.length);
    msc_process_response_body(transaction);
    is_refused(transaction, &status, data);
end:
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
    return status;
}

static double cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static double resident_mib(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %lf", &kib) == 1) break;
    if (status) fclose(status);
    return kib / 1024;
}

static void decide(ModSecurity *engine, RulesSet *rules, const Request *all, size_t count) {
    static Told data;
    data.wanted = 1;
    for (size_t at = 0; at < count; at++) {
        data.count = 0;
        int status = examine(engine, rules, &all[at], &data);
        printf("{\"name\":\"%s\",\"status\":%d,\"rules\":[", all[at].name.bytes, status);
        for (size_t id = 0; id < data.count; id++) printf("%s%s", id ? "," : "", data.ids[id]);
        printf("]}\n");
    }
}

static int ascending(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Requests of one name stand behind each other and are one kind: the median batch counts. */
static void measure(ModSecurity *engine, RulesSet *rules, const Request *all, size_t count, double milliseconds) {
    static Told data;
    static double batches[4096];
    size_t next;
    for (size_t at = 0; at < count; at = next) {
        for (next = at; next < count && strcmp(all[next].name.bytes, all[at].name.bytes) == 0;) next++;
        size_t done = 0;
        for (double begun = cpu_us(); done < 4096 && (done < 5 || cpu_us() - begun < milliseconds * 1000); done++) {
            double start = cpu_us();
            for (size_t one = at; one < next; one++) examine(engine, rules, &all[one], &data);
            batches[done] = (cpu_us() - start) / (double)(next - at);
        }
        qsort(batches, done, sizeof *batches, ascending);
        printf("{\"name\":\"%s\",\"us\":%.2f}\n", all[at].name.bytes, batches[done / 2]);
    }
}

int main(int count, char **arguments) {
    if (count < 6) fail("driver decide|time MILLISECONDS LEVEL REQUESTS CONF...");
    size_t number;
    Request *all = requests(arguments[4], &number);
    double before = resident_mib(), start = cpu_us();
    ModSecurity *engine = msc_init();
    msc_set_log_cb(engine, told);
    RulesSet *rules = msc_create_rules_set();
    const char *error = NULL;
    char level[256];
    snprintf(level, sizeof level,
             "SecAction \"id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=%s,"
             "setvar:tx.detection_paranoia_level=%s\"",
             arguments[3], arguments[3]);
    if (msc_rules_add(rules, level, &error) < 0) fail(error);
    for (int at = 5; at < count; at++)
        if (msc_rules_add_file(rules, arguments[at], &error) < 0) fail(error);
    printf("{\"load_ms\":%.1f,\"resident_mib\":%.1f}\n", (cpu_us() - start) / 1000, resident_mib() - before);
    if (strcmp(arguments[1], "decide") == 0)
        decide(engine, rules, all, number);
    else
        measure(engine, rules, all, number, atof(arguments[2]));
    msc_rules_cleanup(rules);
    msc_cleanup(engine);
    return 0;
}
