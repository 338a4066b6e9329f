/** The model that the benchmarks take when none is named: a GPT-2 of 124 million random parameters. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { makeRandomModel } from "../scripts/make-random-model.js";
import { planRandomModel } from "../scripts/random-model.js";

const FOLDER = fileURLToPath(new URL("../.cache/gpt2-124m", import.meta.url));

/** Its folder; it is made when it is not there. */
export async function randomGpt2(): Promise<string> {
  if (!existsSync(FOLDER)) {
    process.stderr.write("Making a GPT-2 of 124 million random parameters, once: 498 MB.\n");
    await makeRandomModel(FOLDER, planRandomModel());
  }
  return FOLDER;
}
