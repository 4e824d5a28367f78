//! What `tenant set` is given, read: sources and rates. It never asks a node.

use model::{RequestRate, TenantLimits, TenantRates};

use crate::exit::{Exit, Failure};

/// What is to change. A list that is not named stays.
///
/// # Errors
/// A rate that is none, or nothing to change.
pub(super) fn limits(
    concurrency: Option<u64>,
    allow: Vec<String>,
    deny: Vec<String>,
    rate: &[String],
) -> Result<TenantLimits, Failure> {
    let rate = (!rate.is_empty()).then(|| rates(rate)).transpose()?;
    let limits = TenantLimits { concurrency, allow: list(allow, "all"), deny: list(deny, "none"), rate };
    if limits == TenantLimits::default() {
        let nothing = Failure::new(Exit::Usage, "nothing is to be changed");
        return Err(nothing.next("name `--concurrency`, `--allow`, `--deny` or `--rate`"));
    }
    Ok(limits)
}

/// The entries, none of which is the word for no list; none where nothing was typed.
fn list(typed: Vec<String>, empty: &str) -> Option<Vec<String>> {
    match typed.as_slice() {
        [] => None,
        [word] if word == empty => Some(Vec::new()),
        _ => Some(typed),
    }
}

fn rates(typed: &[String]) -> Result<TenantRates, Failure> {
    let mut rates = TenantRates::default();
    if matches!(typed, [word] if word == "none") {
        return Ok(rates);
    }
    for text in typed {
        let wrong = || {
            let wrong = Failure::new(Exit::Usage, format!("`{text}` is no rate"));
            wrong.next(
                "write `source=20/1:40`: 20 requests in 1 second, 40 at once; or `caller=…`, `tenant=…`",
            )
        };
        let (who, rate) = text.split_once('=').ok_or_else(wrong)?;
        let rate = parse(rate).ok_or_else(wrong)?;
        let place = match who {
            "source" => &mut rates.source,
            "caller" => &mut rates.caller,
            "tenant" => &mut rates.tenant,
            _ => return Err(wrong()),
        };
        if place.replace(rate).is_some() {
            return Err(Failure::new(Exit::Usage, format!("`{who}` has two rates")));
        }
    }
    Ok(rates)
}

/// `20/1` or `20/1:40`.
fn parse(text: &str) -> Option<RequestRate> {
    let (rate, burst) = match text.split_once(':') {
        Some((rate, burst)) => (rate, Some(burst.parse().ok()?)),
        None => (text, None),
    };
    let (requests, seconds) = rate.split_once('/')?;
    Some(RequestRate { requests: requests.parse().ok()?, seconds: seconds.parse().ok()?, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Result<TenantRates, Failure> {
        rates(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_a_rate() {
        let found = typed(&["source=20/1:40", "tenant=1000/3600"]).unwrap();
        assert_eq!(found.source, Some(RequestRate { requests: 20, seconds: 1, burst: Some(40) }));
        assert_eq!(found.tenant, Some(RequestRate { requests: 1000, seconds: 3600, burst: None }));
        assert_eq!(found.caller, None);
        assert_eq!(typed(&["none"]).unwrap(), TenantRates::default());
    }

    #[test]
    fn what_is_none() {
        for words in [
            &["source"][..],
            &["source=20"],
            &["source=20/"],
            &["source=20/1:"],
            &["source=-1/1"],
            &["all=20/1"],
            &["none", "source=1/1"],
            &["source=1/1", "source=2/1"],
        ] {
            assert!(typed(words).is_err(), "{words:?}");
        }
        assert!(limits(None, Vec::new(), Vec::new(), &[]).is_err());
    }

    #[test]
    fn lists_are_emptied_by_a_word() {
        let found = limits(None, vec!["all".into()], vec!["none".into()], &[]).unwrap();
        assert_eq!((found.allow, found.deny), (Some(Vec::new()), Some(Vec::new())));
        let found = limits(None, vec!["10.0.0.0/8".into()], Vec::new(), &[]).unwrap();
        assert_eq!((found.allow, found.deny), (Some(vec!["10.0.0.0/8".into()]), None));
    }
}
