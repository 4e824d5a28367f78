//! `shield` of a node: what it saw, what it does, profiles, bait. It shows what others wrote without what could steer a
//! terminal.

use gateway::api::{
    Bait, NewBait, NewShieldAction, ShieldAction, ShieldProfile, ShieldReport, ShieldSignal, ShieldStory,
};

use crate::{
    cli::{self, Honey, Profile, Shield},
    commands::{Context, functions::day_and_minute},
    exit::Failure,
    output::{Ink, Output, harmless},
};

/// What wants a node.
pub(super) async fn shield(context: &Context, args: Shield) -> Result<(), Failure> {
    let (out, client) = (&context.out, context.client()?);
    match args {
        Shield::Status(of) => {
            let found = client.shield(of.of_node).await?;
            out.answer(&found, |found| status(out, found));
        }
        Shield::Why { id, of } => {
            let found = client.shield_why(of.of_node, &id).await?;
            out.answer(&found, |found| story(out, found));
        }
        Shield::Block(args) => {
            let cli::Block { source, act, strangers, slow, control, of } = *args;
            let new = NewShieldAction { source: Some(source), strangers, slow, control, ..asked(act) };
            done(out, &client.shield_act(of.of_node, &new).await?, of.of_node);
        }
        Shield::Suspend { id, act } => {
            let new = NewShieldAction { token: Some(id), ..asked(act) };
            done(out, &client.shield_act(false, &new).await?, false);
        }
        Shield::Quarantine { function, act } => {
            let new = NewShieldAction { function: Some(function), ..asked(act) };
            done(out, &client.shield_act(false, &new).await?, false);
        }
        Shield::Unblock { which, automatic, of, .. } => {
            let query = match which {
                Some(which) => format!("which={which}"),
                None => format!("all={}", if automatic { "automatic" } else { "any" }),
            };
            let undone = client.shield_undo(of.of_node, &query).await?;
            out.answer(&undone, |undone| {
                if undone.undone.is_empty() {
                    return "there was nothing to undo".to_owned();
                }
                let lines = undone.undone.iter().map(|one| format!("undone: {}", line(one)));
                lines.collect::<Vec<_>>().join("\n")
            });
        }
        Shield::Profile(args) => {
            let found = match args {
                Profile::Show { function } => client.profile(&function).await?,
                Profile::Approve { function } => client.approve_profile(&function).await?,
                Profile::Reset { function } => client.reset_profile(&function).await?,
            };
            out.answer(&found, |found| profile(out, found));
        }
        Shield::Honey(Honey::Route { path }) => {
            let made = client.lay_bait(&NewBait { route: Some(path), token: None }).await?;
            out.answer(&made, |made| format!("whoever asks for {} is told of", made.id));
        }
        Shield::Honey(Honey::Token { name }) => {
            let made = client.lay_bait(&NewBait { route: None, token: Some(name) }).await?;
            token(out, &made);
        }
        Shield::Honey(Honey::List) => {
            let found = client.bait().await?;
            out.answer(&found, |found| bait(out, &found.bait));
        }
        Shield::Honey(Honey::Remove { which }) => {
            client.take_bait(&which).await?;
            out.answer(&serde_json::json!({ "removed": which }), |_| format!("removed {}", harmless(&which)));
        }
        // Answered before: they speak to no node.
        Shield::Test(_) | Shield::Explain(_) | Shield::Rules(_) | Shield::Simulate(_) => {}
    }
    Ok(())
}

fn asked(act: cli::Act) -> NewShieldAction {
    NewShieldAction { seconds: act.seconds, reason: act.reason, ..NewShieldAction::default() }
}

fn done(out: &Output, made: &ShieldAction, of_node: bool) {
    let whose = if of_node { " --of-node" } else { "" };
    out.answer(made, |made| {
        format!("{}\nundo it with `casemate shield unblock {}{whose}`", line(made), made.id)
    });
}

/// One action in one line.
fn line(action: &ShieldAction) -> String {
    let control = if action.control { ", at the control API too" } else { "" };
    let until = match action.ended {
        Some(at) => format!("over since {}", day_and_minute(at)),
        None => format!("until {}", day_and_minute(action.until)),
    };
    format!(
        "{} {} {}{control}, {until}: {}",
        action.id,
        action.measure,
        action.subject,
        harmless(&action.reason)
    )
}

fn status(out: &Output, found: &ShieldReport) -> String {
    let mut parts = Vec::new();
    let (signals, actions) = (found.signals.len(), found.actions.len());
    let ink = if signals == 0 { Ink::Good } else { Ink::Warn };
    parts.push(out.paint(ink, &format!("{signals} signals within a day, {actions} actions in force")));
    if !found.signals.is_empty() {
        parts.push(table_of_signals(out, &found.signals));
    }
    let lines = |all: &[ShieldAction]| all.iter().map(line).collect::<Vec<_>>().join("\n");
    if !found.actions.is_empty() {
        parts.push(format!("{}\n{}", out.paint(Ink::Strong, "in force"), lines(&found.actions)));
    }
    if !found.past.is_empty() {
        parts.push(format!("{}\n{}", out.paint(Ink::Faint, "over"), lines(&found.past)));
    }
    if !found.profiles.is_empty() {
        let row = |one: &gateway::api::ProfileStage| {
            vec![one.function.to_string(), one.revision.to_string(), one.stage.clone()]
        };
        let rows: Vec<Vec<String>> = found.profiles.iter().map(row).collect();
        parts.push(out.table(&["FUNCTION", "REVISION", "PROFILE"], &rows));
    }
    parts.join("\n\n")
}

fn table_of_signals(out: &Output, signals: &[ShieldSignal]) -> String {
    let row = |one: &ShieldSignal| {
        vec![
            one.id.clone(),
            day_and_minute(one.at),
            one.code.clone(),
            one.source.map(|source| source.to_string()).unwrap_or_default(),
            harmless(&one.principal),
            one.action.clone().unwrap_or_default(),
            harmless(&one.said),
        ]
    };
    let rows: Vec<Vec<String>> = signals.iter().map(row).collect();
    out.table(&["SIGNAL", "AT", "CODE", "SOURCE", "WHO", "ACTION", "WHAT"], &rows)
}

fn story(out: &Output, found: &ShieldStory) -> String {
    let mut parts = Vec::new();
    if !found.signals.is_empty() {
        parts.push(table_of_signals(out, &found.signals));
    }
    if !found.actions.is_empty() {
        parts.push(found.actions.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    let text = |event: &serde_json::Value, key: &str| {
        let text = event[key].as_str().unwrap_or_default();
        match key {
            "time" => harmless(text).chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect(),
            _ => harmless(text),
        }
    };
    let rows: Vec<Vec<String>> = found
        .events
        .iter()
        .map(|record| {
            let event = &record.event;
            ["time", "kind", "code", "source", "principal", "detail"].map(|key| text(event, key)).to_vec()
        })
        .collect();
    if found.gathered {
        parts.push(
            "the request has no record of its own: of many alike all but the first are counted together, here:"
                .to_owned(),
        );
    }
    if rows.is_empty() {
        parts.push("no refusal, signal or action of the record is behind it".to_owned());
    } else {
        parts.push(out.table(&["AT", "KIND", "CODE", "SOURCE", "WHO", "WHAT"], &rows));
    }
    parts.join("\n\n")
}

fn profile(out: &Output, found: &ShieldProfile) -> String {
    let mode = serde_json::to_value(found.mode).ok().and_then(|mode| Some(mode.as_str()?.to_owned()));
    let fields = out.fields(&[
        ("revision", found.revision.to_string()),
        ("mode", mode.unwrap_or_default()),
        ("stage", format!("{} since {}", found.stage, day_and_minute(found.since))),
        ("learned", format!("{} runs, until {} at least", found.runs, day_and_minute(found.learns_until))),
        ("a minute", format!("{} outbound calls, {} bytes at most", found.minute_calls, found.minute_bytes)),
    ]);
    let steps = |all: &[gateway::api::ProfileStep]| {
        let rows: Vec<Vec<String>> =
            all.iter().map(|step| vec![harmless(&step.from), harmless(&step.to)]).collect();
        out.table(&["AFTER", "COMES"], &rows)
    };
    let row = |one: &gateway::api::ProfileNumber| {
        vec![one.name.clone(), one.median.to_string(), one.high.to_string(), one.bound.to_string()]
    };
    let rows: Vec<Vec<String>> = found.numbers.iter().map(row).collect();
    let numbers = out.table(&["NUMBER", "MEDIAN", "95 OF 100", "BOUND"], &rows);
    let mut parts = vec![fields, steps(&found.steps), numbers];
    if !found.unseen.is_empty() {
        parts.push(format!("{}\n{}", out.paint(Ink::Warn, "never seen before"), steps(&found.unseen)));
    }
    parts.join("\n\n")
}

fn token(out: &Output, made: &Bait) {
    if out.is_json() {
        out.json(made);
        return;
    }
    out.say(made.secret.as_deref().unwrap_or_default());
    out.note(format!("bait {}; whoever presents it is told of and let in nowhere", made.id));
    out.note("this is the only time that it is shown; only a hash of it is kept");
}

fn bait(out: &Output, all: &[Bait]) -> String {
    if all.is_empty() {
        return "no bait is laid".to_owned();
    }
    let row = |one: &Bait| {
        vec![
            one.kind.clone(),
            harmless(&one.id),
            harmless(&one.name),
            day_and_minute(one.at),
            harmless(&one.by),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    out.table(&["KIND", "BAIT", "WHERE", "SINCE", "BY"], &rows)
}
