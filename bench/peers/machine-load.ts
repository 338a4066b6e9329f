/** How busy the machine's processors are with other work than ours; Linux only, as the peers' binaries here are. */
import { readFileSync } from "node:fs";

/** Milliseconds of one tick of `/proc/stat`; USER_HZ is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

/** Processor time that all processes together have used since the machine started, and other machines' share. */
export function busyMs(): number {
  const [, user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
    .split("\n", 1)[0]!
    .split(/\s+/)
    .map(Number) as [number, number, number, number, number, number, number, number, number];
  return TICK_MS * (user + nice + system + irq + softirq + steal);
}
