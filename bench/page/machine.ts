/** The machine as `/proc` tells it: who works, and what memory a browser's processes take. Linux only. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Ticks since the machine started, of all processors. */
export interface Ticks {
  /** Spent on work, other machines' share included. */
  readonly busy: number;
  readonly all: number;
}

export function machineTicks(): Ticks {
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]!;
  const [user, nice, system, idle, waiting, irq, softirq, steal] = line
    .split(/\s+/)
    .slice(1, 9)
    .map(Number) as [number, number, number, number, number, number, number, number];
  const busy = user + nice + system + irq + softirq + steal;
  return { busy, all: busy + idle + waiting };
}

/** Waits until others use less than `share` of the machine for two seconds, at most `seconds`, or `isEnded`. */
export async function waitUntilQuiet(share: number, seconds: number, isEnded: () => boolean): Promise<void> {
  if (share >= 1) return;
  for (const end = Date.now() + 1000 * seconds; Date.now() < end && !isEnded(); ) {
    const before = machineTicks();
    await sleep(2000);
    const after = machineTicks();
    if (after.busy - before.busy < share * (after.all - before.all)) return;
  }
}

export interface BrowserUse {
  /** Processor time of all its processes so far. */
  readonly ticks: number;
  /** Most memory that its largest process but the browser's own ever had: the page's. */
  readonly pagePeakBytes: number;
  /** Of all processes, now; pages that they share are counted for each. */
  readonly residentBytes: number;
}

/** A process and all that it started. */
export function browserUse(root: number): BrowserUse {
  const children = new Map<number, number[]>();
  const ticks = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? read(`/proc/${name}/stat`) : null;
    if (stat === null) continue;
    // Behind the name, which may have anything in it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const parent = Number(fields[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
    // Its own, and those of its ended children.
    ticks.set(
      pid,
      fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0),
    );
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  const memory = (pid: number, key: string) => {
    const kib = new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(read(`/proc/${pid}/status`) ?? "")?.[1] ?? 0;
    return 1024 * Number(kib);
  };
  return {
    ticks: tree.reduce((sum, pid) => sum + (ticks.get(pid) ?? 0), 0),
    pagePeakBytes: Math.max(0, ...tree.slice(1).map((pid) => memory(pid, "VmHWM"))),
    residentBytes: tree.reduce((sum, pid) => sum + memory(pid, "VmRSS"), 0),
  };
}

/** Processor time of this process. */
export function ownTicks(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 10_000;
}

/** Null: the process has ended meanwhile. */
function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
