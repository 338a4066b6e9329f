import { expect, test } from "vitest";
import { type MemoryReadings, memoryOf } from "./node-memory.js";

const GB = 1e9;
const machine = { platform: "linux", total: 16 * GB, free: 10 * GB, limit: 0, resident: 0.1 * GB } as const;

test.each<[string, MemoryReadings, number, number]>([
  ["a machine", machine, 16, 10],
  ["no limit, as a huge number", { ...machine, limit: 2 ** 64 }, 16, 10],
  ["a limit as large as the machine", { ...machine, limit: 16 * GB }, 16, 10],
  ["a container", { ...machine, limit: 4 * GB, resident: 0.5 * GB }, 4, 3.5],
  ["a container on a full machine", { ...machine, free: 2 * GB, limit: 4 * GB }, 4, 2],
  ["a full container", { ...machine, limit: 1 * GB, resident: 1.1 * GB }, 1, 0],
  ["macOS: half, where less is said to be free", { ...machine, platform: "darwin", free: 0.1 * GB }, 16, 8],
  ["macOS: what is free, where it is more", { ...machine, platform: "darwin", free: 12 * GB }, 16, 12],
  ["Windows", { ...machine, platform: "win32" }, 16, 10],
])("%s", (_, readings, total, free) => {
  expect(memoryOf(readings)).toEqual({ totalBytes: total * GB, freeBytes: free * GB });
});
