use keyring::SystemEntropy;

use super::*;
use crate::{Credentials, TokenBook, TokenSecret, identify};

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const DAY_MS: u64 = 86_400_000;

fn issue(words: &str) -> Issue {
    let [tenant, name, roles, scopes] = words.split(' ').collect::<Vec<_>>()[..] else { panic!("{words}") };
    let role = |text: &str| *Role::ALL.iter().find(|role| role.as_str() == text).unwrap();
    Issue {
        kind: PrincipalKind::User,
        tenant: tenant.parse().unwrap(),
        name: name.into(),
        roles: roles.split(',').filter(|r| *r != "-").map(role).collect(),
        scopes: scopes.split(',').map(Into::into).collect(),
        expires_at: NOW.plus_ms(DAY_MS),
    }
}

fn make(issue: Issue, issuer: Issuer<'_>) -> Result<TokenRecord, IssueError> {
    let secret = TokenSecret::generate(&SystemEntropy).unwrap();
    TokenRecord::issue(TokenId::generate(&SystemEntropy).unwrap(), secret.hash(), issue, issuer, NOW)
}

/// A caller in four words: tenant, name, roles, scopes.
fn caller(words: &str) -> Caller {
    let secret = TokenSecret::generate(&SystemEntropy).unwrap();
    let id = TokenId::generate(&SystemEntropy).unwrap();
    let record = TokenRecord::issue(id, secret.hash(), issue(words), Issuer::FirstStart, NOW).unwrap();
    let book = TokenBook::new();
    book.put(record);
    identify(&Credentials::token(secret), &book, NOW).unwrap()
}

fn check(maker: &str, wanted: &str, expect: Result<(), IssueError>) {
    let maker = caller(maker);
    let got = make(issue(wanted), Issuer::Caller(&maker));
    if let Ok(record) = &got {
        assert_eq!(record.created_by, maker.key());
    }
    assert_eq!(got.map(|_| ()), expect, "{maker:?} {wanted}");
}

#[test]
fn who_may_give_what() {
    check("a op operator *", "a dev developer *", Ok(()));
    check("a op operator *", "a dev viewer,developer,operator deploy,invoke", Ok(()));
    check("a op operator *", "a call - invoke", Ok(()));
    check("a own owner *", "a aud auditor *", Ok(()));
    check("a own owner *", "a own2 owner *", Ok(()));
    check("a op operator manageTokens,deploy", "a ci developer deploy", Ok(()));
    check("a root admin *", "b own owner *", Ok(()));
    check("a root admin *", "a root admin *", Ok(()));
    check("a root admin *", "a scraper admin readMetrics", Ok(()));
}

#[test]
fn nobody_gives_more_than_they_have() {
    let role = |role| Err(IssueError::Role(role));
    check("a op operator *", "a x owner *", role(Role::Owner));
    check("a op operator *", "a x auditor *", role(Role::Auditor));
    check("a op operator *", "a x viewer,admin *", role(Role::Admin));
    check("a own owner *", "a x admin readMetrics", role(Role::Admin));
    check("a own owner *", "b x viewer *", role(Role::Viewer));
    check("a dev developer *", "a x operator *", role(Role::Operator));
    check("a aud auditor *", "a x developer *", role(Role::Developer));
    check("a none - *", "a x viewer *", role(Role::Viewer));
    check("a root admin *", "a other admin *", role(Role::Admin));
    check("a root admin *", "b root admin *", role(Role::Admin));
    let scope = |scope: &str| Err(IssueError::WiderScope(scope.into()));
    check("a op operator manageTokens", "a x developer deploy", scope("deploy"));
    check("a op operator manageTokens", "a x developer *", scope("*"));
    check("a op operator manageTokens,invoke", "a x developer invoke,remove", scope("remove"));
}

#[test]
fn a_scraper_cannot_widen_itself() {
    check("a scraper admin readMetrics", "a scraper admin *", Err(IssueError::WiderScope("*".into())));
}

#[test]
fn what_is_no_token() {
    let check = |change: &dyn Fn(&mut Issue), expect: IssueError| {
        let mut wanted = issue("a x viewer *");
        change(&mut wanted);
        assert_eq!(make(wanted, Issuer::FirstStart), Err(expect));
    };
    check(&|i| i.kind = PrincipalKind::Function, IssueError::Kind);
    check(&|i| i.kind = PrincipalKind::Anonymous, IssueError::Kind);
    for name in ["", "Alice", "a/b", "a\"", "a b", "é", &"a".repeat(64)] {
        check(&|i| i.name = name.into(), IssueError::Name(name.into()));
    }
    check(&|i| i.scopes.clear(), IssueError::NoScope);
    for scope in ["", "in voke", "invoke*", "**", "a,b"] {
        check(&|i| i.scopes.push(scope.into()), IssueError::Scope(scope.into()));
    }
    check(&|i| i.expires_at = NOW, IssueError::Ended);
    check(&|i| i.expires_at = NOW.plus_ms(365 * DAY_MS + 1), IssueError::TooLong);
}

#[test]
fn the_longest_token_and_the_order_of_words() {
    let mut wanted = issue("a x owner,viewer,owner invoke,deploy,invoke");
    wanted.expires_at = NOW.plus_ms(365 * DAY_MS);
    let made = make(wanted, Issuer::FirstStart).unwrap();
    assert_eq!(made.roles, [Role::Viewer, Role::Owner]);
    assert_eq!(made.scopes, ["deploy", "invoke"]);
    assert_eq!(made.created_by, "first start");
}
