/** What the benchmarks have in common: their options, and what they say of the machine. */
import { cpus } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { atLeastOne } from "../src/cli/options.js";
import type { Vectors } from "../src/kernels/kernels.js";

export interface CommonOptions {
  readonly model?: string;
  readonly rounds: number;
  readonly threads?: number;
  readonly json?: true;
}

/** A benchmark's command: the model, rounds, threads, `--json`, and a help text that ends with these examples. */
export function benchCommand(
  name: string,
  description: string,
  { rounds, examples }: { rounds: number; examples: readonly string[] },
): Command {
  return new Command(name)
    .description(description)
    .option("--model <model>", "the model (default: GPT-2 with 124 million random parameters, made once)")
    .option("--rounds <count>", "measured rounds, after what warms up", atLeastOne, rounds)
    .option("--threads <count>", "threads that share the work (default: all cores)", atLeastOne)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `\nExamples:\n${[name, ...examples.map((options) => `${name} -- ${options}`)].map((line) => `  npm run ${line}`).join("\n")}\n`,
    );
}

/** `--dtype`, or another option that names a type: f32 by default. */
export function typeOption(flag: string, description: string, types: readonly string[]): Option {
  return new Option(`${flag} <type>`, description).choices(types).default("f32");
}

/** `--vectors`: 128 or 256, on Node 24 and newer. */
export function vectorsOption(description: string, name = "--vectors"): Option {
  return new Option(`${name} <bits>`, description).argParser((bits): Vectors => {
    if (bits === "128") return 128;
    if (bits === "256") return 256;
    throw new InvalidArgumentError("It must be 128 or 256.");
  });
}

/** Processor and Node, as the last line of a table names them. */
export function machine(): string {
  return `${cpus()[0]?.model.trim() ?? "unknown processor"}, Node ${process.versions.node}`;
}
