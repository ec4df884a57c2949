//! The stability study as a section: what the penalty does to likelihood and condition, in closed form for linear flows and
//! trained for the flow at hand.

use super::text::number;
use super::{Listing, Section};
use crate::theory::linear::Path;
use crate::theory::stability::{Chosen, DeepRun, LinearPath};
use crate::theory::{Axis, Chart, Shape};

/// Nats a row and column beyond the best value from which a curve leaves the picture.
const WINDOW: f64 = 3.0;
const LIKELIHOOD: &str = "log-likelihood (nats a row)";
const WEIGHT: &str = "Tikhonov weight α";

/// The section of a study: charts, a table of weights, and in the notes the weights that are chosen.
pub fn section(data: &str, path: &LinearPath, runs: &[DeepRun]) -> Section {
    let name = format!("Stability of {data}");
    let mut charts = vec![linear_likelihood(path), linear_condition(path, runs)];
    if !runs.is_empty() {
        charts.extend([over_training(path, runs), condition_over_training(runs), objective(path, runs)]);
    }
    let listings = vec![weights(path, runs)];
    Section { notes: notes(path, runs), charts, listings, ..Section::new(&name, vec![]) }
}

fn dim(path: &LinearPath) -> usize {
    path.spectrum.values.len()
}

/// Values far from the best one are left out: they would flatten the rest of the picture.
fn window(values: &[f64], best: f64, path: &LinearPath) -> Vec<f64> {
    let room = WINDOW * dim(path) as f64 + 5.0;
    values.iter().map(|&v| if (v - best).abs() <= room { v } else { f64::NAN }).collect()
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max)
}

fn linear_likelihood(path: &LinearPath) -> Chart {
    let (alphas, lw) = (&path.alphas, path.ledoit_wolf.alpha);
    let training = path.closed().along(alphas, Path::likelihood);
    let held: Vec<f64> = alphas.iter().map(|&a| path.held_out(a)).collect();
    let best = largest(held.iter().copied());
    let mut chart = Chart::new("Likelihood of linear flows along the penalty", Axis::log(WEIGHT), Axis::linear(LIKELIHOOD))
        .described(format!(
            "Mean log-likelihood of the linear optimum of every α, in closed form. On the training rows it only falls with α; on \
             held-out rows it is largest at {}. Ledoit and Wolf's weight, from the training rows alone, is {}. Values far below \
             the best are left out.",
            chosen_text(path),
            number(lw, 3)
        ))
        .mark("training rows", Shape::Line, alphas.clone(), window(&training, best, path))
        .mark("held-out rows", Shape::Line, alphas.clone(), window(&held, best, path));
    if let Chosen::At(alpha) = path.chosen() {
        chart = chart.mark("chosen by held-out rows", Shape::Points, vec![alpha], vec![path.held_out(alpha)]);
    }
    chart.mark("Ledoit and Wolf", Shape::Points, vec![lw], window(&[path.held_out(lw)], best, path))
}

fn linear_condition(path: &LinearPath, runs: &[DeepRun]) -> Chart {
    let closed = path.closed();
    let exact = closed.along(&path.alphas, |p, a| p.condition(a).powi(2));
    let bound = closed.along(&path.alphas, Path::condition_bound);
    let null = path.spectrum.null;
    let mut chart = Chart::new("Condition along the penalty", Axis::log(WEIGHT), Axis::log("κ(J)²"))
        .described(format!(
            "Squared condition number of the linear optimum, (λ_max + 2α)/(λ_min + 2α), under its bound 1 + λ_max/2α; the \
             data have {null} null directions, so that without penalty it is {}. Points: median of the trained flow over held-out \
             rows, which the bound of linear flows does not bind.",
            number(closed.condition(0.0).powi(2), 3)
        ))
        .mark("linear optimum", Shape::Line, path.alphas.clone(), exact)
        .mark("bound 1 + λ_max/2α", Shape::Dashed, path.alphas.clone(), bound);
    let (alpha, kappa): (Vec<f64>, Vec<f64>) =
        runs.iter().filter(|r| r.alpha > 0.0).map(|r| (r.alpha, r.condition.powi(2))).unzip();
    if !alpha.is_empty() {
        chart = chart.mark("trained flow, median", Shape::Points, alpha, kappa);
    }
    chart
}

fn run_name(run: &DeepRun) -> String {
    if run.alpha == 0.0 { "without penalty".to_owned() } else { format!("α = {}", number(run.alpha, 2)) }
}

fn over_training(path: &LinearPath, runs: &[DeepRun]) -> Chart {
    let all = || runs.iter().flat_map(|r| r.epochs.iter().map(|e| -e.valid_nll));
    let best = largest(all());
    let mut chart = Chart::new("Held-out likelihood over training", Axis::linear("epoch"), Axis::linear(LIKELIHOOD))
        .described(format!(
            "Held-out log-likelihood of the same flow trained with several weights; the best value of all is {}. {}",
            number(best, 4),
            runs.iter().filter_map(|r| r.stopped.as_ref().map(|s| format!("{}: {s}. ", run_name(r)))).collect::<String>()
        ));
    for run in runs {
        let epoch = run.epochs.iter().map(|e| e.epoch as f64).collect();
        let held: Vec<f64> = run.epochs.iter().map(|e| -e.valid_nll).collect();
        chart = chart.mark(&run_name(run), Shape::Line, epoch, window(&held, best, path));
    }
    chart
}

fn condition_over_training(runs: &[DeepRun]) -> Chart {
    let last: Vec<String> = runs
        .iter()
        .filter_map(|r| r.epochs.last().map(|e| format!("{}: {}", run_name(r), number(e.condition, 3))))
        .collect();
    let mut chart =
        Chart::new("Condition over training", Axis::linear("epoch"), Axis::log("κ(J), 99th percentile"))
            .described(format!(
                "Condition number of the Jacobian over held-out rows. After the last epoch, {}.",
                last.join("; ")
            ));
    for run in runs {
        let epoch = run.epochs.iter().map(|e| e.epoch as f64).collect();
        chart =
            chart.mark(&run_name(run), Shape::Line, epoch, run.epochs.iter().map(|e| e.condition).collect());
    }
    chart
}

fn objective(path: &LinearPath, runs: &[DeepRun]) -> Chart {
    let some: Vec<&DeepRun> = runs.iter().filter(|r| r.alpha > 0.0).collect();
    let of = |f: fn(&DeepRun) -> f64| some.iter().map(|r| f(r)).collect::<Vec<f64>>();
    let alpha = of(|r| r.alpha);
    let best = largest(some.iter().map(|r| r.likelihood.0));
    let bound: Vec<f64> = some.iter().map(|r| r.bound(dim(path))).collect();
    let slack = some.iter().zip(&bound).map(|(r, b)| b - r.penalised).fold(f64::INFINITY, f64::min);
    Chart::new("The trained flow against its bound", Axis::log(WEIGHT), Axis::linear(LIKELIHOOD))
        .described(format!(
            "Held-out log-likelihood of the trained flow with its standard error, and the same less the penalty, under the bound \
             -(D/2) log 4πeα that no flow passes (S1); the nearest stays {} nats below.",
            number(slack, 3)
        ))
        .mark("likelihood", Shape::Points, alpha.clone(), window(&of(|r| r.likelihood.0), best, path))
        .error_bars(of(|r| r.likelihood.1))
        .mark("likelihood less penalty", Shape::Points, alpha.clone(), window(&of(|r| r.penalised), best, path))
        .mark("bound −(D/2) log 4πeα", Shape::Dashed, alpha, bound)
}

fn weights(path: &LinearPath, runs: &[DeepRun]) -> Listing {
    let columns = [
        "α",
        "linear, training",
        "linear, held out",
        "linear κ(J)",
        "effective dimension",
        "trained, held out",
        "trained, less penalty",
        "bound (S1)",
        "trained κ(J), median",
    ];
    let closed = path.closed();
    let mut alphas: Vec<(f64, Option<&DeepRun>)> = runs.iter().map(|r| (r.alpha, Some(r))).collect();
    if let Chosen::At(alpha) = path.chosen() {
        alphas.push((alpha, None));
    }
    alphas.push((path.ledoit_wolf.alpha, None));
    alphas.sort_by(|a, b| a.0.total_cmp(&b.0));
    let row = |&(alpha, run): &(f64, Option<&DeepRun>)| {
        let text = |v: f64| number(v, 4);
        let of = |f: &dyn Fn(&DeepRun) -> String| run.map_or_else(|| "–".to_owned(), f);
        vec![
            number(alpha, 3),
            text(closed.likelihood(alpha)),
            text(path.held_out(alpha)),
            text(closed.condition(alpha)),
            text(closed.effective_dimension(alpha)),
            of(&|r| format!("{} ± {}", text(r.likelihood.0), number(r.likelihood.1, 2))),
            of(&|r| text(r.penalised)),
            of(&|r| text(r.bound(dim(path)))),
            of(&|r| text(r.condition)),
        ]
    };
    Listing {
        caption: "Likelihood (nats a row, training units) and condition along the penalty".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: alphas.iter().map(row).collect(),
    }
}

fn chosen_text(path: &LinearPath) -> String {
    match path.chosen() {
        Chosen::At(alpha) => format!("α = {}", number(alpha, 3)),
        Chosen::None if path.spectrum.null > 0 => {
            "no α at all (they lie in the same plane, on which the likelihood has no bound as α → 0)"
                .to_owned()
        }
        Chosen::None => "α = 0, no penalty".to_owned(),
        Chosen::Beyond(alpha) => format!("α = {} or more", number(alpha, 3)),
    }
}

fn notes(path: &LinearPath, runs: &[DeepRun]) -> Vec<String> {
    let lw = path.ledoit_wolf;
    let mut out = vec![
        format!(
            "rank {} of {}; without penalty the condition number of the linear optimum is {}",
            dim(path) - path.spectrum.null,
            dim(path),
            number(path.closed().condition(0.0), 3)
        ),
        format!("linear flow: held-out rows choose {}", chosen_text(path)),
        format!(
            "Ledoit and Wolf's shrinkage is {}, which is α = {} (from the training rows alone)",
            number(lw.shrinkage, 3),
            number(lw.alpha, 3)
        ),
    ];
    let measured = runs.iter().filter(|r| r.likelihood.0.is_finite());
    if let Some(best) = measured.max_by(|a, b| a.likelihood.0.total_cmp(&b.likelihood.0)) {
        out.push(format!(
            "trained flow: of {} weights held-out rows choose {}, with {} ± {} nats a row",
            runs.len(),
            if best.alpha == 0.0 { "no penalty".to_owned() } else { run_name(best) },
            number(best.likelihood.0, 4),
            number(best.likelihood.1, 2)
        ));
    }
    for run in runs {
        out.extend(run.stopped.as_ref().map(|why| format!("{}: {why}", run_name(run))));
    }
    out
}
