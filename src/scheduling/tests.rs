//! The scheduler's answers in tables, and what must hold whatever is on the node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, PodSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn node(list: Value) -> Allocatable {
    let node: Node =
        serde_json::from_value(json!({"metadata": {}, "status": {"allocatable": list}})).unwrap();
    Allocatable::of(&node)
}

fn key(name: &str) -> DaemonSetKey {
    DaemonSetKey { namespace: "test".to_owned(), name: name.to_owned() }
}

fn requests(list: Value) -> Demand {
    demand(json!({"containers": [{"name": "a", "resources": {"requests": list}}]}))
}

fn demand(spec: Value) -> Demand {
    Demand::of(&serde_json::from_value::<PodSpec>(spec).unwrap())
}

fn port(port: Value) -> Demand {
    demand(json!({"containers": [{"name": "a", "ports": [port]}]}))
}

fn resident(name: &str, priority: i32, demand: Demand) -> Resident {
    let uid = PodUid::parse(name).unwrap();
    let pod = format!("{name}-x");
    Resident { uid, name: pod, daemon_set: key(name), priority, demand, stay: Stay::Stays, created: 0 }
}

fn candidate(name: &str, priority: i32, demand: Demand) -> Candidate {
    let preemption = PreemptionPolicy::PreemptLowerPriority;
    Candidate { daemon_set: key(name), priority, preemption, demand }
}

/// The message of the only candidate, and the victims; empty if it fits.
fn asked(allocatable: &Allocatable, residents: &[Resident], candidate: Candidate) -> (String, Vec<String>) {
    match schedule(allocatable, residents, &[candidate]).remove(0).1 {
        Outcome::Bind => (String::new(), Vec::new()),
        Outcome::Wait { message, victims, .. } => {
            (message, victims.iter().map(ToString::to_string).collect())
        }
    }
}

const NOBODY: &str = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

#[test]
fn resources_are_compared_as_the_scheduler_does() {
    let allocatable = node(
        json!({"cpu": "2", "memory": "1Gi", "pods": "3", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"}),
    );
    let here = [resident("here", 0, requests(json!({"cpu": "1500m", "memory": "512Mi"})))];
    for (list, expected) in [
        (json!({}), ""),
        (json!({"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "1Gi"}), ""),
        (json!({"cpu": "501m"}), "1 Insufficient cpu."),
        (json!({"memory": "536870913"}), "1 Insufficient memory."),
        (json!({"memory": "600Mi", "cpu": "1"}), "1 Insufficient cpu, 1 Insufficient memory."),
        (json!({"hugepages-2Mi": "4Mi"}), ""),
        (json!({"cpu": "0", "memory": "0"}), ""),
    ] {
        let (message, victims) = asked(&allocatable, &here, candidate("new", 0, requests(list.clone())));
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("0/1 nodes are available: {expected} {NOBODY}")
        };
        assert_eq!((message, victims), (expected, Vec::new()), "{list}");
    }
}

#[test]
fn what_the_whole_node_does_not_have_nobody_can_make_room_for() {
    let allocatable = node(json!({"cpu": "2", "pods": "9"}));
    let here = [resident("low", -5, requests(json!({"cpu": "2"})))];
    for (list, missing) in [
        (json!({"cpu": "2001m"}), "1 Insufficient cpu"),
        (json!({"example.com/gpu": "1"}), "1 Insufficient example.com/gpu"),
    ] {
        let help = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
        let expected = format!("0/1 nodes are available: {missing}. {help}");
        assert_eq!(asked(&allocatable, &here, candidate("new", 9, requests(list))), (expected, vec![]));
    }
}

#[test]
fn a_node_takes_so_many_pods_and_no_more_even_if_they_ask_for_nothing() {
    let allocatable = node(json!({"pods": "1"}));
    let here = [resident("here", 0, Demand::default())];
    let (message, _) = asked(&allocatable, &here, candidate("new", 0, Demand::default()));
    assert_eq!(message, format!("0/1 nodes are available: 1 Too many pods. {NOBODY}"));
    assert_eq!(asked(&allocatable, &[], candidate("new", 0, Demand::default())).0, "");
}

#[test]
fn init_containers_sidecars_and_overhead_are_part_of_what_a_pod_takes() {
    let allocatable = node(json!({"cpu": "500m", "pods": "9"}));
    let container = |cpu: &str| json!({"name": "a", "resources": {"requests": {"cpu": cpu}}});
    let mut sidecar = container("50m");
    sidecar["restartPolicy"] = json!("Always");
    let spec = |overhead: &str| {
        demand(json!({
            "containers": [container("100m")], "initContainers": [sidecar, container("400m")],
            "overhead": {"cpu": overhead},
        }))
    };
    assert_eq!(asked(&allocatable, &[], candidate("new", 0, spec("50m"))).0, "");
    assert!(asked(&allocatable, &[], candidate("new", 0, spec("51m"))).0.contains("Insufficient cpu"));
}

#[test]
fn a_host_port_is_held_by_protocol_and_address() {
    let allocatable = node(json!({"pods": "9"}));
    for (held, wanted, fits) in [
        (json!({"hostPort": 80}), json!({"hostPort": 80}), false),
        (json!({"hostPort": 80}), json!({"hostPort": 81}), true),
        (json!({"hostPort": 80}), json!({"hostPort": 80, "protocol": "UDP"}), true),
        (json!({"hostPort": 80, "protocol": "TCP"}), json!({"hostPort": 80, "hostIP": "10.0.0.1"}), false),
        (json!({"hostPort": 80, "hostIP": "10.0.0.1"}), json!({"hostPort": 80, "hostIP": "0.0.0.0"}), false),
        (json!({"hostPort": 80, "hostIP": "10.0.0.1"}), json!({"hostPort": 80, "hostIP": "127.0.0.1"}), true),
        (json!({"hostPort": 80, "hostIP": "::"}), json!({"hostPort": 80, "hostIP": "10.0.0.1"}), true),
        (json!({"hostPort": 80, "hostIP": "::"}), json!({"hostPort": 80}), false),
        (json!({}), json!({"hostPort": 8080}), true),
    ] {
        let with = |mut it: Value| {
            it["containerPort"] = json!(8080);
            port(it)
        };
        let here = [resident("here", 0, with(held.clone()))];
        let (message, _) = asked(&allocatable, &here, candidate("new", 0, with(wanted.clone())));
        assert_eq!(message.is_empty(), fits, "{held} {wanted}: {message}");
        if !fits {
            let expected = "1 node(s) didn't have free ports for the requested pod ports. preemption:";
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("/TCP is held by pod test/here-x."), "{message}");
            assert!(!message.contains("maxSurge"), "{message}");
        }
    }
}

#[test]
fn ports_of_sidecars_count_and_those_of_plain_init_containers_do_not() {
    let ports = json!([{"containerPort": 1, "hostPort": 80}]);
    let with = |policy: Value| {
        demand(json!({"containers": [],
            "initContainers": [{"name": "i", "restartPolicy": policy, "ports": ports}]}))
    };
    assert_eq!((with(json!("Always")).ports.len(), with(Value::Null).ports.len()), (1, 0));
}

#[test]
fn a_surge_that_waits_for_its_own_old_pod_says_so() {
    let allocatable = node(json!({"pods": "9"}));
    let here = [resident("web", 0, port(json!({"containerPort": 1, "hostPort": 80})))];
    let new = candidate("web", 0, port(json!({"containerPort": 1, "hostPort": 80})));
    let (message, _) = asked(&allocatable, &here, new.clone());
    assert!(message.contains("set maxSurge to 0 or run `daemonlet delete pod web-x -n test`."), "{message}");
    let mut ending = here;
    ending[0].stay = Stay::Ends;
    let (message, victims) = asked(&allocatable, &ending, new);
    assert!(!message.contains("maxSurge"), "it ends anyhow: {message}");
    assert!(victims.is_empty());
}

/// Pods as `name:priority:millicores`, marked with `!` if they are ending.
fn pods(text: &str) -> Vec<Resident> {
    let parse = |(order, word): (i64, &str)| {
        let mut parts = word.trim_end_matches('!').split(':');
        let (name, priority, cpu) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let mut pod = resident(name, priority.parse().unwrap(), requests(json!({"cpu": format!("{cpu}m")})));
        pod.created = order;
        if word.ends_with('!') {
            pod.stay = Stay::Ends;
        }
        pod
    };
    (0..).zip(text.split_whitespace()).map(parse).collect()
}

#[test]
fn as_few_and_as_unimportant_pods_as_possible_make_room() {
    let allocatable = node(json!({"cpu": "1", "pods": "9"}));
    for (here, priority, cpu, expected) in [
        ("a:1:500 b:2:500", 9, 500, "a"),
        ("a:2:500 b:1:500", 9, 500, "b"),
        ("a:1:500 b:1:500", 9, 500, "b"),
        ("a:1:500 b:2:500", 9, 600, "a b"),
        ("a:1:200 b:1:200 c:1:600", 9, 600, "c"),
        ("a:3:600 b:1:400", 9, 600, "a"),
        ("a:9:500 b:10:500", 9, 500, ""),
        ("a:1:500 b:9:500", 9, 600, ""),
        ("a:1:500! b:2:500", 9, 500, ""),
        ("a:1:400! b:2:600", 9, 500, "b"),
        ("a:20:500! b:2:500", 9, 500, ""),
    ] {
        let new = candidate("new", priority, requests(json!({"cpu": format!("{cpu}m")})));
        let (message, mut victims) = asked(&allocatable, &pods(here), new.clone());
        assert!(message.contains("1 Insufficient cpu."), "{here}: {message}");
        victims.sort();
        assert_eq!(victims.join(" "), expected, "{here} for {priority}:{cpu}");
        let (message, victims) =
            asked(&allocatable, &pods(here), Candidate { preemption: PreemptionPolicy::Never, ..new });
        assert!(victims.is_empty(), "who never displaces anybody doesn't: {message}");
    }
}

#[test]
fn the_words_for_who_does_not_go() {
    let allocatable = node(json!({"cpu": "1", "pods": "9"}));
    let new = |priority, preemption| {
        let demand = requests(json!({"cpu": "600m"}));
        Candidate { preemption, ..candidate("new", priority, demand) }
    };
    let may = PreemptionPolicy::PreemptLowerPriority;
    for (here, new, expected) in [
        (
            "a:1:500",
            new(9, PreemptionPolicy::Never),
            "preemption: not eligible due to preemptionPolicy=Never.",
        ),
        ("a:1:500!", new(9, may), "preemption: not eligible due to a terminating pod on the nominated node."),
        ("a:1:500", new(1, may), NOBODY),
        ("a:1:100 b:9:500", new(9, may), "preemption: 0/1 nodes are available: 1 Insufficient cpu."),
    ] {
        let (message, _) = asked(&allocatable, &pods(here), new);
        assert_eq!(message, format!("0/1 nodes are available: 1 Insufficient cpu. {expected}"), "{here}");
    }
}

#[test]
fn who_will_fit_once_others_are_gone_is_nominated() {
    let allocatable = node(json!({"cpu": "1", "pods": "9"}));
    let demand = requests(json!({"cpu": "600m"}));
    for (here, expected) in
        [("a:1:500", true), ("a:1:500!", true), ("a:9:500", false), ("a:1:100 b:9:500", false)]
    {
        let outcome = schedule(&allocatable, &pods(here), &[candidate("new", 9, demand.clone())]).remove(0).1;
        let Outcome::Wait { is_nominated, .. } = outcome else { panic!("{here}: it must wait") };
        assert_eq!(is_nominated, expected, "{here}");
    }
}

#[test]
fn the_more_important_go_first_and_nobody_takes_the_room_that_is_made_for_them() {
    let allocatable = node(json!({"cpu": "1", "pods": "9"}));
    let cpu = |amount: &str| requests(json!({"cpu": amount}));
    let wanted =
        [candidate("b", 0, cpu("100m")), candidate("a", 0, cpu("100m")), candidate("z", 5, cpu("800m"))];
    let order = |residents: &[Resident]| -> Vec<(usize, bool)> {
        let outcomes = schedule(&allocatable, residents, &wanted).into_iter();
        outcomes.map(|(index, outcome)| (index, outcome == Outcome::Bind)).collect()
    };
    assert_eq!(order(&[]), [(2, true), (1, true), (0, true)]);
    assert_eq!(order(&pods("low:1:300")), [(2, false), (1, false), (0, false)], "200m are to be for z");
    assert_eq!(order(&pods("high:5:300")), [(2, false), (1, true), (0, true)], "z can't be helped");
}

/// A pod of the property test: priority, millicores, host port, whether it is ending.
type Drawn = (i32, i64, Option<i32>, bool);

fn drawn(most: usize) -> impl Strategy<Value = Vec<Drawn>> {
    let pod = (0..4, 0..5_i64, proptest::option::of(80..83), any::<bool>());
    proptest::collection::vec(pod, 0..most)
}

fn drawn_demand((_, cpu, port, _): &Drawn) -> Demand {
    let ports: Vec<Value> = port.iter().map(|it| json!({"containerPort": 1, "hostPort": it})).collect();
    demand(json!({"containers": [
        {"name": "a", "ports": ports, "resources": {"requests": {"cpu": format!("{}m", cpu * 100)}}}]}))
}

/// Whether all these are on the node together.
fn all_fit(allocatable: &Allocatable, demands: &[&Demand]) -> bool {
    let mut room = Room::new(allocatable);
    demands.iter().all(|demand| {
        let fits = room.fits(demand);
        room.take(demand);
        fits
    })
}

proptest! {
    #[test]
    fn at_no_instant_do_more_pods_run_than_fit_and_only_lower_ones_go(drawn_here in drawn(7), drawn_new in drawn(5)) {
        let allocatable = node(json!({"cpu": "800m", "pods": "5"}));
        // Pods that fit together, as earlier rounds let them in.
        let mut residents: Vec<Resident> = Vec::new();
        for (order, pod) in drawn_here.iter().enumerate() {
            let mut next = resident(&format!("r{order}"), pod.0, drawn_demand(pod));
            next.created = order as i64;
            next.stay = if pod.3 { Stay::Ends } else { Stay::Stays };
            let demands: Vec<&Demand> = residents.iter().chain([&next]).map(|it| &it.demand).collect();
            if all_fit(&allocatable, &demands) {
                residents.push(next);
            }
        }
        let mut candidates: Vec<Candidate> = (drawn_new.iter().enumerate())
            .map(|(order, pod)| candidate(&format!("c{order}"), pod.0, drawn_demand(pod)))
            .collect();
        // Rounds until nothing changes; between two rounds what was told to end is gone.
        for round in 0..20 {
            let outcomes = schedule(&allocatable, &residents, &candidates);
            let by_name: BTreeMap<_, _> = residents.iter().map(|it| (it.uid.clone(), it.clone())).collect();
            let mut bound = Vec::new();
            let mut told = BTreeSet::new();
            for (index, outcome) in &outcomes {
                match outcome {
                    Outcome::Bind => bound.push(*index),
                    Outcome::Wait { victims, .. } => {
                        for victim in victims {
                            prop_assert!(by_name[victim].priority < candidates[*index].priority);
                            prop_assert!(by_name[victim].stay == Stay::Stays, "told twice");
                            prop_assert!(told.insert(victim.clone()), "told for two");
                        }
                    }
                }
            }
            let running = residents.iter().map(|it| &it.demand).chain(bound.iter().map(|it| &candidates[*it].demand));
            prop_assert!(all_fit(&allocatable, &running.collect::<Vec<_>>()));
            let quiet = bound.is_empty() && told.is_empty() && residents.iter().all(|it| it.stay == Stay::Stays);
            if quiet {
                return Ok(());
            }
            residents.retain(|it| it.stay == Stay::Stays);
            for resident in &mut residents {
                if told.contains(&resident.uid) {
                    resident.stay = Stay::Ends;
                }
            }
            for index in &bound {
                let bound = &candidates[*index];
                residents.push(resident(&format!("n{round}-{index}"), bound.priority, bound.demand.clone()));
            }
            let mut index = 0;
            candidates.retain(|_| { index += 1; !bound.contains(&(index - 1)) });
        }
        prop_assert!(false, "it never comes to rest");
    }
}
