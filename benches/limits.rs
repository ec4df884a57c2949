//! What must hold on any machine: `cargo bench --bench limits` measures it and prints a table; it exits with 1 where
//! a line does not hold.
//!
//! - cost is linear in the number of rows: one thread, a fitted exponent of 1.00 ± 0.05 over 10^4 to 10^6 rows;
//! - two threads reach 0.9 of the throughput of two independent processes of one thread each, where a call takes a
//!   millisecond or more. Shorter cases are printed and not judged; nor are those named `floor`, whose threads each do a product as
//!   often and only meet: what any program reaches on the machine that meets once a call;
//! - pushes of 64 columns and more run at 60 % of the rate of a large product;
//! - the peak memory of a training step is at most parameters x (4 + lanes) + shards in flight x workspace + 32 MiB.
//!
//! The figures of several processes come from this program itself, started with `--child`.

mod cases;

use cases::given::Given;
use cases::{Case, Kind, Work};
use eigenflow::train::{Stepper, TrainOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What is compared is measured in turn, for so long each time and so often: the clock of a core and what else its
/// machine does change within seconds. Medians count.
const TURN: Duration = Duration::from_millis(100);
const TURNS: usize = 41;
/// The same for all numbers of rows, a million rows of each at a time.
const ROUNDS: usize = 7;
/// Lanes that sums over rows are collected in.
const LANES: usize = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--child") {
        child(&arguments[at + 1], arguments.get(at + 2).map_or("", String::as_str));
        return ExitCode::SUCCESS;
    }
    let mut all = true;
    let mut line = |what: String, value: f64, bound: &str, holds: bool| {
        all &= holds;
        println!("{what:<56} {value:>8.3}  {bound:<12} {}", if holds { "holds" } else { "DOES NOT HOLD" });
    };
    for kind in [Kind::LogDensity, Kind::Jacobian] {
        let slope = exponent(kind);
        line(
            format!("exponent in rows, {}, D = 2", kind.prefix()),
            slope,
            "1.00 ± 0.05",
            (slope - 1.0).abs() <= 0.05,
        );
    }
    for name in SHARED {
        let (ratio, seconds) = against_processes(name);
        let bound = match name {
            _ if name.starts_with("floor/") => "meets only",
            _ if seconds < 1e-3 => "below 1 ms",
            _ => ">= 0.90",
        };
        let judged = bound.starts_with('>');
        line(format!("two threads / two processes, {name}"), ratio, bound, ratio >= 0.9 || !judged);
    }
    for (case, share) in [false, true].into_iter().flat_map(product_shares) {
        line(format!("rate / product rate, {case}"), share, ">= 0.60", share >= 0.6);
    }
    for name in ["train_step/realnvp/f64/512x64", "train_step/realnvp/f64/512x784"] {
        let share = memory(name);
        line(format!("peak memory / bound, {name}"), share, "<= 1.00", share <= 1.0);
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Some of each kind of work.
const SHARED: [&str; 15] = [
    "floor/product/f32/512x64",
    "floor/product/f64/512x64",
    "jacobian/realnvp/f32/4096x2",
    "jacobian/realnvp/f32/1024x8",
    "jacobian/realnvp/f32/256x64",
    "jacobian/realnvp/f64/4x784",
    "local_covariance/eigh/f64/256x64",
    "train_step/realnvp/f32/512x8",
    "train_step/realnvp/f32/512x64",
    "train_step/realnvp/f64/512x8",
    "train_step/realnvp/f64/512x64",
    "log_density/realnvp/f32/4096x8",
    "sample/realnvp/f64/4096x8",
    "eigh/f64/100x64",
    "slogdet/f64/4x784",
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn prepared(case: Case) -> Box<dyn Work> {
    case.prepare(&Given::default()).expect("drawn inputs fit")
}

/// Calls a second over a turn, an eighth of it at a time.
fn throughput(work: &mut dyn Work) -> f64 {
    let start = Instant::now();
    work.call();
    let some = (TURN.as_secs_f64() / 8.0 / start.elapsed().as_secs_f64()).ceil() as u64;
    let mut calls = 1;
    while start.elapsed() < TURN {
        work.calls(some);
        calls += some;
    }
    calls as f64 / start.elapsed().as_secs_f64()
}

/// Slope of `log time` by `log rows`, one thread; all numbers of rows in turn.
fn exponent(kind: Kind) -> f64 {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let points: Vec<(f64, f64)> = pool.install(|| {
        let mut sizes = [10_000, 31_623, 100_000, 316_228, 1_000_000].map(|count| {
            let mut work = prepared(Case { kind, double: false, count, dim: 2 });
            work.call();
            (count, work, Vec::new())
        });
        for _ in 0..ROUNDS {
            for (count, work, seconds) in &mut sizes {
                // As many rows of each size, so that all are measured as long.
                let calls = (1_000_000 / *count) as u64;
                let start = Instant::now();
                work.calls(calls);
                seconds.push(start.elapsed().as_secs_f64() / calls as f64);
            }
        }
        sizes.map(|(count, _, seconds)| ((count as f64).ln(), median(seconds).ln())).to_vec()
    });
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let sxy: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    sxy / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

/// Rates of pushes over that of a large product, all on two threads and in turn.
fn product_shares(double: bool) -> Vec<(Case, f64)> {
    let jacobian = |(count, dim)| (Case { kind: Kind::Jacobian, double, count, dim }, push_flops(count, dim));
    let product = (Case { kind: Kind::Product, double, count: 1, dim: 1024 }, 2.0 * 1024.0_f64.powi(3));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    pool.install(|| {
        let cases = [product].into_iter().chain([(256, 64), (64, 256), (4, 784)].map(jacobian));
        let mut works: Vec<_> = cases.map(|(case, flops)| (case, flops, prepared(case))).collect();
        works.iter_mut().for_each(|(_, _, work)| work.call());
        let mut turn = || -> Vec<f64> {
            works.iter_mut().map(|(_, flops, work)| *flops * throughput(work.as_mut())).collect()
        };
        let rates: Vec<Vec<f64>> = (0..TURNS).map(|_| turn()).collect();
        let share = |k: usize| median(rates.iter().map(|rates| rates[k] / rates[0]).collect());
        (1..works.len()).map(|k| (works[k].0, share(k))).collect()
    })
}

/// Operations of a push through the flow of the cases: docs/PERFORMANCE.md, the cheaper order in each coupling.
fn push_flops(rows: usize, dim: usize) -> f64 {
    let (p, m, h) = (dim / 2, dim - dim / 2, 64);
    let value = h * p + h * h + 2 * h * m;
    let first = p * (h + h * h + h * m) + 2 * h * m;
    let directly = dim * (h * p + h * h + h * m) + 2 * h * m;
    let locally = p * (h + h * h + h * m) + 2 * h * m + dim * p * m;
    2.0 * rows as f64 * (8 * value + first + 7 * directly.min(locally)) as f64
}

/// Throughput of one process of two threads over that of two processes of one thread at the same time, in turn; and
/// the seconds of a call of the former.
fn against_processes(name: &str) -> (f64, f64) {
    let mut together = start(&[2], name);
    let mut apart = start(&[1, 1], name);
    let (ratios, seconds) = (0..TURNS)
        .map(|turn| {
            // Who goes first changes, so that neither always finds the other one's caches.
            let (both, each) = if turn % 2 == 0 {
                let both = measure(&mut together);
                (both, measure(&mut apart))
            } else {
                let each = measure(&mut apart);
                (measure(&mut together), each)
            };
            (both / each, 1.0 / both)
        })
        .unzip();
    (median(ratios), median(seconds))
}

/// Calls a second of children, measured at the same time and added.
fn measure(children: &mut [Started]) -> f64 {
    for (child, _) in children.iter_mut() {
        child.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("the child listens");
    }
    children.iter_mut().map(|child| read(child).parse::<f64>().expect("a number")).sum()
}

type Started = (Child, BufReader<std::process::ChildStdout>);

/// Children with so many threads each, ready to be measured; they end with their standard input.
fn start(threads: &[usize], name: &str) -> Vec<Started> {
    let mut children: Vec<_> = threads.iter().map(|&threads| child_of(threads, name)).collect();
    children.iter_mut().for_each(|child| drop(read(child)));
    children
}

fn child_of(threads: usize, name: &str) -> Started {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--child", name])
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, out)
}

fn read((_, out): &mut Started) -> String {
    let mut line = String::new();
    out.read_line(&mut line).expect("the child answers");
    line.trim().to_owned()
}

/// Prepares a case and prints calls a second for every line that it is given; or, with `memory`, its peak memory over the bound.
fn child(name: &str, what: &str) {
    if what == "memory" {
        let dim: usize =
            name.rsplit('x').next().and_then(|d| d.parse().ok()).expect("a name ends in its columns");
        let case = Case { kind: Kind::TrainStep, double: true, count: 512, dim };
        let mut work = prepared(case);
        (0..5).for_each(|_| work.call());
        // Before anything else is allocated.
        let peak = peak_bytes();
        let flow = Given::default().flow::<f64>(case).expect("the case's own flow");
        let numbers: usize = flow.parameters().iter().map(|p| p.data.len()).sum();
        let stepper = Stepper::new(&flow, 512, &TrainOptions::default()).expect("no penalty");
        let in_flight = rayon::current_num_threads();
        let bound = numbers * 8 * (4 + LANES) + in_flight * stepper.workspace_bytes() + (32 << 20);
        return println!("{}", peak / bound as f64);
    }
    let mut work = prepared(Case::find(name).expect("a case of the list"));
    work.call();
    println!("ready");
    for _ in std::io::stdin().lines() {
        // By a thread of the pool, as the command line does.
        println!("{}", rayon::scope(|_| throughput(work.as_mut())));
    }
}

/// Peak resident memory over the bound, from a process of its own.
fn memory(name: &str) -> f64 {
    let out = Command::new(std::env::current_exe().expect("this program"))
        .args(["--child", name, "memory"])
        .output()
        .expect("the program starts");
    String::from_utf8_lossy(&out.stdout).trim().parse().unwrap_or(f64::NAN)
}

/// Peak resident memory of this process (Linux; NaN elsewhere).
fn peak_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0)
}
