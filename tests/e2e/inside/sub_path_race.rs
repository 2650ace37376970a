//! A race against the check of subPaths: a directory of a volume and a link to the host change places, all the time, while containers
//! start that mount what is behind the name. Once this was CVE-2017-1002101, and again CVE-2021-25741.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::sub_path::{listing, outside, volume};
use super::{container, node_with, spec, waiting};
use crate::kit::{daemon_set, is_so_in_time, wait_until};

/// The containers of the race: what each mounts, and a command that writes what it sees to `/seen`.
const VICTIMS: [(&str, &str, &str); 3] = [
    ("dir", "x", "cat /v/who >> /seen/dir; touch /v/mark"),
    ("file", "x/who", "cat /v >> /seen/file"),
    ("makes", "x/sub/made", "ls -d /v >/dev/null && echo volume >> /seen/makes; touch /v/mark"),
];

#[test]
fn a_link_swapped_in_while_containers_restart_never_shows_them_the_host() {
    let Some(node) = node_with(|_| "crashLoopBackOff: {maxContainerRestartPeriod: 1s}\n".to_owned()) else {
        return;
    };
    let outside = outside(&node);
    let before = listing(&outside);
    fs::create_dir(node.path("seen")).unwrap();
    let volumes = format!(
        "
volumes:
- {{name: work, emptyDir: {{}}}}
- {{name: seen, hostPath: {{path: {seen}}}}}
initContainers:
- name: plant
  image: busybox:1
  command: [sh, -c, 'mkdir -p /vol/x/sub && echo volume > /vol/x/who && ln -s {out} /vol/link']
  volumeMounts: [{{name: work, mountPath: /vol}}]",
        seen = node.path("seen").display(),
        out = outside.display()
    );
    let victims = VICTIMS.map(|(name, path, script)| {
        let work = format!("{{name: work, mountPath: /v, subPath: {path}}}");
        let mounts = format!("volumeMounts: [{work}, {{name: seen, mountPath: /seen}}]");
        container(name, &format!("[sh, -c, '{script}']"), &mounts)
    });
    node.apply("app.yaml", daemon_set("app", &spec(&volumes, victims)));
    let seen = |name: &str| fs::read_to_string(node.path("seen").join(name)).unwrap_or_default();
    let starts = || VICTIMS.map(|(name, ..)| seen(name).lines().count());
    wait_until("each has run", || starts().iter().all(|count| *count > 0));
    let pod = node.agent.wait_pod("app", "it", |_| true);
    let work = volume(&node, &pod, "empty-dir/work");
    let swap = || {
        let (link, x) = (work.join("link"), work.join("x"));
        renameat2(AT_FDCWD, &link, AT_FDCWD, &x, RenameFlags::RENAME_EXCHANGE).unwrap();
    };

    // At rest: the link is there, so nobody starts until it is gone again.
    let why = |name: &str| {
        let of = format!("for volumeMount \"work\" of container \"{name}\"");
        [format!("failed to prepare subPath {of}"), format!("failed to create subPath directory {of}")]
    };
    swap();
    node.agent.wait_pod("app", "none starts, and says why", |pod| {
        VICTIMS.iter().all(|(name, ..)| why(name).contains(&waiting(pod, name).1))
    });
    let at_rest = starts();
    swap();
    wait_until("each starts again", || starts().iter().zip(at_rest).all(|(now, then)| *now > then));

    // In a race: both outcomes come about, and none is the host's.
    // A refusal that goes on is an Event once; the log has each.
    let refusals = || {
        let log = node.agent.log();
        let of = |name: &str| {
            let container = format!("container \\\"{name}\\\"");
            log.lines()
                .filter(|line| line.contains("cannot mount the subPath") && line.contains(&container))
                .count()
        };
        VICTIMS.map(|(name, ..)| of(name))
    };
    let (started, refused) = (starts(), refusals());
    let is_over = AtomicBool::new(false);
    let both_ways = thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                swap();
                swaps += 1;
            }
            swaps
        });
        let both_ways = is_so_in_time(|| {
            starts().iter().zip(started).all(|(now, then)| *now >= then + 3)
                && refusals().iter().zip(refused).all(|(now, then)| *now > then)
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(swapper.join().unwrap() > 1000);
        both_ways
    });
    assert!(both_ways, "started {:?}, refused {:?}", starts(), refusals());
    for (name, ..) in VICTIMS {
        assert!(seen(name).lines().all(|line| line == "volume"), "{name} has seen {:?}", seen(name));
    }
    assert_eq!(listing(&outside), before, "nothing was made or marked outside");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let bound = table
        .lines()
        .filter(|line| line.contains("/volume-subpaths/"))
        .filter(|line| line.contains(&node.path("state").display().to_string()));
    assert!(bound.count() <= VICTIMS.len(), "each start's mount has made way for the next one's");
}
