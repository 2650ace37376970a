use tokio::task::JoinHandle;

use super::*;
use crate::systemd::fake::logind::FakeLogind;

const DEADLINE: Duration = Duration::from_secs(30);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn uid(name: &str) -> PodUid {
    PodUid::parse(name).unwrap()
}

fn uids(names: &[&str]) -> BTreeSet<PodUid> {
    names.iter().map(|name| uid(name)).collect()
}

/// What is told to the main loop, and its answers.
struct MainLoop {
    orders: mpsc::UnboundedReceiver<Order>,
    task: JoinHandle<()>,
}

impl MainLoop {
    fn of(bus: Bus) -> Self {
        let (orders, orders_seen) = mpsc::unbounded_channel();
        let shutdown = NodeShutdown { schedule: Schedule::of(s(30), s(10)), bus, orders };
        Self { orders: orders_seen, task: tokio::spawn(shutdown.run()) }
    }

    async fn next(&mut self) -> Order {
        timeout(DEADLINE, self.orders.recv()).await.expect("an order in time").expect("an order")
    }

    async fn next_but_unknown(&mut self) -> Order {
        loop {
            match self.next().await {
                Order::Unknown => {}
                order => return order,
            }
        }
    }

    /// Hears that the machine goes down, and says that these pods live.
    async fn goes_down(&mut self, pods: &[(&str, i32)]) {
        let Order::GoDown { living } = self.next_but_unknown().await else { panic!("it goes down") };
        living.send(pods.iter().map(|(name, priority)| (uid(name), *priority)).collect()).unwrap();
    }

    async fn ends(&mut self, names: &[&str]) -> oneshot::Sender<()> {
        let Order::End { pods, ended, .. } = self.next().await else { panic!("pods are to end") };
        assert_eq!(pods, uids(names));
        ended
    }
}

impl Drop for MainLoop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not {what}"));
}

#[tokio::test]
async fn a_shutdown_is_held_back_until_the_pods_have_ended_and_may_be_called_off() {
    let logind = FakeLogind::start();
    let mut main_loop = MainLoop::of(logind.bus());
    assert!(matches!(main_loop.next().await, Order::Up));
    until("held back", || logind.is_held_back()).await;
    logind.prepare(true).await;
    main_loop.goes_down(&[("web", 0), ("dns", 2_000_001_000)]).await;
    let ended = main_loop.ends(&["web"]).await;
    assert!(logind.is_held_back());
    ended.send(()).unwrap();
    let ended = main_loop.ends(&["dns"]).await;
    assert!(logind.is_held_back());
    ended.send(()).unwrap();
    until("let go", || !logind.is_held_back()).await;

    logind.prepare(false).await;
    assert!(matches!(main_loop.next().await, Order::Up));
    until("held back again", || logind.is_held_back()).await;
    // Called off while pods end: those that have not been told yet are not told.
    logind.prepare(true).await;
    main_loop.goes_down(&[("web", 0), ("dns", 2_000_001_000)]).await;
    let _ended = main_loop.ends(&["web"]).await;
    logind.prepare(false).await;
    assert!(matches!(main_loop.next().await, Order::Up));
}

#[tokio::test]
async fn an_agent_that_starts_while_the_machine_goes_down_knows_it_without_a_lock() {
    let logind = FakeLogind::start();
    logind.prepare(true).await;
    let mut main_loop = MainLoop::of(logind.bus());
    let Order::GoDown { living } = main_loop.next().await else { panic!("it goes down") };
    assert_eq!((logind.refusals(), logind.is_held_back()), (1, false));
    living.send(vec![(uid("web"), 0)]).unwrap();
    main_loop.ends(&["web"]).await.send(()).unwrap();
    logind.prepare(false).await;
    assert!(matches!(main_loop.next().await, Order::Up));
    until("held back", || logind.is_held_back()).await;
}

#[tokio::test]
async fn a_shutdown_that_is_called_off_while_logind_is_away_is_over_when_it_is_back() {
    let logind = FakeLogind::start();
    let mut main_loop = MainLoop::of(logind.bus());
    assert!(matches!(main_loop.next().await, Order::Up));
    until("held back", || logind.is_held_back()).await;
    logind.prepare(true).await;
    main_loop.goes_down(&[("web", 0)]).await;
    let _ended = main_loop.ends(&["web"]).await;
    logind.hang_up().await;
    assert!(matches!(main_loop.next().await, Order::Unknown));
    logind.prepare(false).await;
    assert!(matches!(main_loop.next_but_unknown().await, Order::Up));
}

#[tokio::test]
async fn where_logind_is_not_there_the_main_loop_is_told_at_once_that_nobody_knows() {
    let mut main_loop = MainLoop::of(Bus::of_peer("unix:path=/nowhere/at/all"));
    assert!(matches!(main_loop.next().await, Order::Unknown));
}

#[tokio::test(start_paused = true)]
async fn critical_pods_end_last_and_a_slow_group_holds_up_nobody() {
    let (orders, mut told) = mpsc::unbounded_channel();
    let shutdown = NodeShutdown { schedule: Schedule::of(s(30), s(10)), bus: Bus::default(), orders };
    let begun = Instant::now();
    let ending = tokio::spawn(async move { shutdown.end_pods().await });
    let Some(Order::GoDown { living }) = told.recv().await else { panic!("it goes down") };
    living.send(vec![(uid("web"), 0), (uid("dns"), 2_000_001_000), (uid("stuck"), 5)]).unwrap();
    let Some(Order::End { pods, grace, ended: _stuck }) = told.recv().await else { panic!("some end") };
    assert_eq!((pods, grace), (uids(&["web", "stuck"]), s(20)));
    let Some(Order::End { pods, grace, ended }) = told.recv().await else { panic!("the others end") };
    assert_eq!((pods, grace), (uids(&["dns"]), s(10)));
    assert_eq!(begun.elapsed(), s(20), "the stuck one had all of its time");
    ended.send(()).unwrap();
    ending.await.unwrap();
    assert_eq!(begun.elapsed(), s(20), "the last did not need theirs");
}
