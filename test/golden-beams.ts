/** Beams that Hugging Face transformers found for the fixtures. */
import { readFile } from "node:fs/promises";

interface GoldenBeams {
  readonly ids: readonly number[];
  readonly numBeams: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  readonly eosTokenId: number | null;
  readonly maxNewTokens: number;
  /** Filled up behind an end token. */
  readonly sequences: readonly number[][];
  readonly scores: readonly number[];
}

export async function goldenBeams(name: "tiny" | "odd"): Promise<GoldenBeams[]> {
  const url = new URL(`./fixtures/${name}/beams.json`, import.meta.url);
  return JSON.parse(await readFile(url, "utf8")).cases;
}
