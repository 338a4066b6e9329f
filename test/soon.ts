/** Waiting in tests. */
import { vi } from "vitest";

/** Waits for what becomes so by itself, however busy the machine, and looks often, since it may not stay so. */
export const soon = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 20_000, interval: 2 });
