//! Runs one case of the hot kernels so that an emulator can count its instructions: `benches/count/run`
//! does that for all of them and compares with `recorded.json`.
//!
//! `count CASE` runs the case once to warm it up and once inside of [`counted_section`], all on the calling
//! thread. `count list` names the cases, `count instructions` the widest instruction set it finds here.

mod cases;

use std::process::ExitCode;

/// What is counted: callgrind collects while this function is on the stack, which is why it has one name, one
/// instance and stays a call.
#[inline(never)]
fn counted_section(work: &mut dyn FnMut()) {
    work();
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let argument = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    match argument.as_deref() {
        Some("instructions") => println!("{}", instructions()),
        None | Some("list") => cases::all().for_each(|case| println!("{}", case.name)),
        Some(name) => {
            let Some(case) = cases::all().find(|case| case.name == name) else {
                eprintln!("no case `{name}`; `list` names them");
                return ExitCode::from(2);
            };
            // callgrind toggles a thread at a time: the pool's only thread has to be this one.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
            pool.build_global().expect("the pool is built once");
            let mut work = (case.prepare)();
            work();
            counted_section(&mut *work);
        }
    }
    ExitCode::SUCCESS
}

/// The instruction set that the kernels choose by their run-time detection.
fn instructions() -> String {
    let fused = eigenflow_linalg::elementary::fused();
    #[cfg(target_arch = "x86_64")]
    if fused {
        let wide = std::arch::is_x86_feature_detected!("avx512f");
        return format!("x86_64 {}", if wide { "AVX-512" } else { "AVX2" });
    }
    format!("{} {}", std::env::consts::ARCH, if fused { "vectors" } else { "portable" })
}
