//! Text for pages and pictures: escaping, breaking into lines, numbers as they are printed.

/// Text that stands for itself in HTML and XML, in attributes too.
///
/// Characters that XML cannot hold (controls) become U+FFFD.
///
/// ```
/// use eigenflow::report::text::escape;
/// assert_eq!(escape("a<b & \"c\"\u{0}"), "a&lt;b &amp; &quot;c&quot;\u{fffd}");
/// ```
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Lines of at most `width` characters, broken at blanks; a longer word keeps its line.
///
/// ```
/// use eigenflow::report::text::wrap;
/// assert_eq!(wrap("one two three", 8), ["one two", "three"]);
/// assert_eq!(wrap("", 8), [""]);
/// ```
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |l| l.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A whole number in superscript digits.
///
/// ```
/// assert_eq!(eigenflow::report::text::superscript(-12), "⁻¹²");
/// ```
pub fn superscript(n: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => c.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(c),
    };
    n.to_string().chars().map(digit).collect()
}

/// A number in `digits` significant digits, `m·10ᵏ` where that is shorter to read.
///
/// ```
/// use eigenflow::report::text::number;
/// assert_eq!((number(0.1234567, 4), number(-2.0, 4)), ("0.1235".to_owned(), "−2".to_owned()));
/// assert_eq!((number(3.25e-9, 3), number(1e12, 4)), ("3.25·10⁻⁹".to_owned(), "10¹²".to_owned()));
/// assert_eq!((number(f64::INFINITY, 4), number(f64::NAN, 4)), ("∞".to_owned(), "not a number".to_owned()));
/// ```
pub fn number(v: f64, digits: usize) -> String {
    if v.is_nan() {
        return "not a number".to_owned();
    }
    let sign = if v < 0.0 { "−" } else { "" };
    let size = v.abs();
    if size.is_infinite() {
        return format!("{sign}∞");
    }
    // Rounded once, so that 9.9996 counts as 10.
    let rounded = format!("{size:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if size == 0.0 || (-4..6).contains(&exponent) {
        let places = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
        return format!("{sign}{}", trimmed(&format!("{size:.places$}")));
    }
    match trimmed(mantissa) {
        "1" => format!("{sign}10{}", superscript(exponent)),
        m => format!("{sign}{m}·10{}", superscript(exponent)),
    }
}

/// Without zeros at the end of a fraction.
pub(super) fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}
