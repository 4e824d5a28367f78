//! The first start of a node, killed: whoever starts it again can log in. It never looks at a second node.

use std::time::Duration;

use crate::{
    killed::{Random, START_MS_MAX, long, seed},
    support::{Home, TestNode},
};

/// First starts, and with `CASEMATE_LONG`.
const FIRST_STARTS: [usize; 2] = [6, 60];

#[test]
fn a_first_start_that_was_killed_locks_nobody_out() {
    let mut random = Random(seed() ^ 0x5eed);
    for round in 0..FIRST_STARTS[long()] {
        let home = Home::new();
        let mut kills = 0;
        // Now and then the second start is killed too.
        while kills == 0 || random.below(3) == 0 {
            let after = Duration::from_millis(random.below(START_MS_MAX * 2));
            TestNode::killed_in_its_start(&home, after);
            kills += 1;
            println!("round {round}: killed after {after:?}");
        }
        let node = TestNode::start_with(home, "");
        // A start before this one may have said that it is there.
        let file = node.data.join("first-token");
        if file.exists() {
            let file = file.to_str().unwrap();
            let ca = node.info["ca"].as_str().unwrap().to_owned();
            let args = ["login", "--node", node.control(), "--ca", &ca, "--token-file", file, "--consume"];
            node.run(&args).ok();
        }
        let me = node.run(&["whoami", "--output", "json"]).ok().json();
        assert_eq!(me["principal"]["tenant"], "default");
        let listed = node.run(&["token", "list", "--output", "json"]).ok().json();
        let live = listed["tokens"].as_array().unwrap().iter().filter(|t| t["revoked_at"].is_null()).count();
        assert_eq!(live, 1, "a token that nobody holds is good: {listed}");
        node.stop();
    }
}
