//! A clock for a node of a test, which goes where the test says.

use std::{fs, path::PathBuf, process::Command};

/// Stands between a process and the system's wall clock: adds as many seconds as a file says.
const STEP: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    long done = syscall(SYS_clock_gettime, clock, time);
    if (done == 0 && clock == CLOCK_REALTIME && getenv("CLOCK_STEP")) {
        char text[32] = {0};
        int file = open(getenv("CLOCK_STEP"), O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) time->tv_sec += atol(text);
            close(file);
        }
    }
    return (int)done;
}
"#;

/// A clock that is this machine's and so many seconds more.
pub(crate) struct SteppingClock(tempfile::TempDir);

impl SteppingClock {
    /// One that agrees with this machine's until it is told otherwise.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("step.c"), STEP).unwrap();
        let args = ["-shared", "-fPIC", "-O1", "-o", "step.so", "step.c"];
        let compiled = Command::new("cc").args(args).current_dir(folder.path()).status().unwrap();
        assert!(compiled.success());
        let clock = Self(folder);
        clock.step(0);
        clock
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// In one move, so that nobody reads half of it.
    pub(crate) fn step(&self, seconds: i64) {
        fs::write(self.path("new"), seconds.to_string()).unwrap();
        fs::rename(self.path("new"), self.path("seconds")).unwrap();
    }

    /// Lets a command have it for the system's.
    pub(crate) fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.path("step.so")).env("CLOCK_STEP", self.path("seconds"));
    }
}
