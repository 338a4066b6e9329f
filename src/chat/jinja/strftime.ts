/** `strftime_now` as transformers defines it: Python's `strftime` of the local time, with the names of the C locale. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];

export function strftime(date: Date, format: string): string {
  const hour = date.getHours();
  const days =
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0)) / 864e5;
  const directives: Readonly<Record<string, () => string | number>> = {
    a: () => DAYS[date.getDay()].slice(0, 3),
    A: () => DAYS[date.getDay()],
    w: () => date.getDay(),
    u: () => date.getDay() || 7,
    d: () => two(date.getDate()),
    e: () => String(date.getDate()).padStart(2),
    b: () => MONTHS[date.getMonth()].slice(0, 3),
    h: () => MONTHS[date.getMonth()].slice(0, 3),
    B: () => MONTHS[date.getMonth()],
    m: () => two(date.getMonth() + 1),
    y: () => two(date.getFullYear() % 100),
    Y: () => date.getFullYear(),
    C: () => two(Math.floor(date.getFullYear() / 100)),
    H: () => two(hour),
    I: () => two(hour % 12 || 12),
    p: () => (hour < 12 ? "AM" : "PM"),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    f: () => String(date.getMilliseconds() * 1000).padStart(6, "0"),
    k: () => String(hour).padStart(2),
    l: () => String(hour % 12 || 12).padStart(2),
    P: () => (hour < 12 ? "am" : "pm"),
    U: () => two(Math.floor((days + 7 - date.getDay()) / 7)),
    W: () => two(Math.floor((days + 7 - ((date.getDay() + 6) % 7)) / 7)),
    V: () => two(isoWeek(date).week),
    G: () => isoWeek(date).year,
    g: () => two(isoWeek(date).year % 100),
    j: () => String(days + 1).padStart(3, "0"),
    s: () => Math.floor(date.getTime() / 1000),
    D: () => strftime(date, "%m/%d/%y"),
    F: () => strftime(date, "%Y-%m-%d"),
    T: () => strftime(date, "%H:%M:%S"),
    R: () => strftime(date, "%H:%M"),
    r: () => strftime(date, "%I:%M:%S %p"),
    x: () => strftime(date, "%m/%d/%y"),
    X: () => strftime(date, "%H:%M:%S"),
    c: () => strftime(date, "%a %b %e %H:%M:%S %Y"),
    n: () => "\n",
    t: () => "\t",
    // Python's local time knows no zone.
    z: () => "",
    Z: () => "",
    "%": () => "%",
  };
  return format.replace(/%(-?)([a-zA-Z%])/g, (directive, dash, letter) => {
    if (!Object.hasOwn(directives, letter)) return directive;
    const value = String(directives[letter]());
    return dash === "-" ? value.replace(/^[0 ]+(?=.)/, "") : value;
  });
}

/** The week of ISO 8601, which belongs to the year of its Thursday. */
function isoWeek(date: Date): { readonly week: number; readonly year: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7));
  const year = thursday.getFullYear();
  const days = (Date.UTC(year, thursday.getMonth(), thursday.getDate()) - Date.UTC(year, 0)) / 864e5;
  return { week: Math.floor(days / 7) + 1, year };
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
