/** Fills a tier: prompts are computed by a process that ends then, and what it leaves is what others find. */
import { type Bench, options, prompt, type Types } from "./measured.js";
import { ModelProcess, type TierSettings } from "./model-link.js";

export interface Filling {
  readonly types: Types;
  readonly tier: TierSettings;
  /** Numbers of the prompts. */
  readonly numbers: readonly number[];
  /** What runs the process, such as `["ip", "netns", "exec", "a"]`. */
  readonly by?: readonly string[];
}

/** @returns bytes of a record, and how many were written */
export async function fill(
  bench: Bench,
  { types, tier, numbers, by }: Filling,
): Promise<{ readonly bytes: number; readonly count: number }> {
  await using writer = new ModelProcess(by);
  await writer.load("m", bench.model, options(bench, types, tier));
  await writer.inTurn(
    "m",
    numbers.map((number) => prompt(number)),
  );
  await writer.written("m");
  const { tier: stats } = await writer.stats("m");
  return { bytes: stats!.bytesWritten / stats!.written, count: stats!.written };
}
