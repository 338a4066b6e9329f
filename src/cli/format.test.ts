import { expect, it } from "vitest";
import type { ModelInfo } from "../library/model-info.js";
import type { ContextBound } from "../protocol/engine-setup.js";
import {
  contextNotice,
  contextWords,
  formatCount,
  formatDuration,
  formatProbability,
  layerRanges,
} from "./format.js";

it("durations have three digits, and seconds from one second on", () => {
  const shown = [0, 0.004, 4.214, 9.996, 42.14, 99.96, 421.4, 999.4, 999.6, 1234, 65_432, 654_321].map(
    formatDuration,
  );
  expect(shown).toEqual([
    ...["0.00 ms", "0.00 ms", "4.21 ms", "10.0 ms", "42.1 ms", "100 ms", "421 ms", "999 ms"],
    ...["1.00 s", "1.23 s", "65.4 s", "654 s"],
  ]);
});

it("probabilities have three digits, and four near certainty", () => {
  const shown = [1, 0.99984, 0.9994, 0.421, 0.0421, 0.000312, 1.2e-7, 0].map(formatProbability);
  expect(shown).toEqual([
    ...["100.00 %", "99.98 %", "99.9 %", "42.1 %", "4.21 %", "0.0312 %", "< 0.0001 %", "0 %"],
  ]);
});

it("counts have thousands", () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]);
});

it("layers in a row are one range, and of many ranges the first two are named", () => {
  expect([[4], [0, 1, 2], [0, 1, 3], [0, 2, 4]].map(layerRanges)).toEqual(["4", "0…2", "0…1,3", "0,2,4"]);
  // Of Gemma 3: every sixth layer is of another kind.
  const kind = Array.from({ length: 26 }, (_, layer) => layer).filter((layer) => layer % 6 !== 5);
  expect(layerRanges(kind)).toBe("0…4,6…10,…");
});

it("tells of a context that is shorter than what the model was made for, and of none else", () => {
  const info = (
    contextLength: number,
    contextBound: ContextBound,
    rotaryTable: "short" | "long" | null = null,
  ) =>
    ({
      config: { contextLength, maxContextLength: 131_072, rotaryTable },
      ...{ contextBound, kv: { bytes: 536_870_912 } },
    }) as ModelInfo;
  expect(contextWords(info(131_072, "model"))).toBe("131,072 tokens");
  expect(contextNotice(info(131_072, "model"))).toBeNull();
  expect(contextWords(info(1000, "asked"))).toBe("1,000 of 131,072 tokens, as asked for");
  expect(contextNotice(info(1000, "asked"))).toBeNull();
  expect(contextNotice(info(8192, "machine"))).toBe(
    "context: 8,192 of 131,072 tokens, as far as this machine's free memory allows; 537 MB for keys and values (--context, --kv-memory)",
  );
  expect(contextWords(info(131_072, "asked", "long"))).toBe(
    "131,072 tokens; the rotary frequencies are those for long contexts",
  );
  expect(contextNotice(info(4096, "model", "short"))).toBe(
    "context: 4,096 of 131,072 tokens, the model's own default; the rotary frequencies are those for short contexts; 537 MB for keys and values (--context)",
  );
});
