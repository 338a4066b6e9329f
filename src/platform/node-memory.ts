/** How much memory there is for this program in Node: the machine's, or the container's where one is smaller. */
import { freemem, totalmem } from "node:os";
import type { MachineMemory } from "./threads.js";

/** What the system and Node say. Sizes in bytes. */
export interface MemoryReadings {
  readonly platform: NodeJS.Platform;
  readonly total: number;
  /** `os.freemem()`. On Linux what can be had, file caches included; on macOS only what nothing has used. */
  readonly free: number;
  /** `process.constrainedMemory()`: a container's limit; 0 or a huge number where there is none. */
  readonly limit: number;
  /** What this program has in memory by now. */
  readonly resident: number;
}

/**
 * A container counts what the system caches of files as used, though it makes way: so what is free there is its limit less
 * what this program has, and no more than the machine has free. What macOS calls free is next to nothing on a machine
 * that has run for a day; at least half of the machine is taken for it there.
 */
export function memoryOf({ platform, total, free, limit, resident }: MemoryReadings): MachineMemory {
  const isLimited = limit > 0 && limit < total;
  const ofMachine = platform === "darwin" ? Math.max(free, total / 2) : free;
  const ofContainer = isLimited ? Math.max(0, limit - resident) : Number.POSITIVE_INFINITY;
  return { totalBytes: isLimited ? limit : total, freeBytes: Math.min(ofMachine, ofContainer) };
}

/** As it is now. */
export function machineMemory(): MachineMemory {
  return memoryOf({
    platform: process.platform,
    total: totalmem(),
    free: freemem(),
    // Not every runtime that takes Node's place has it.
    limit: process.constrainedMemory?.() ?? 0,
    resident: process.memoryUsage.rss(),
  });
}
