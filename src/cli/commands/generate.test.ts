/** What a generation is asked for, and what becomes of one that is interrupted. */
import { PassThrough } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import { capturedIo, run } from "../../../test/cli/captured-io.js";
import type { LanguageModel } from "../../library/language-model.js";
import { load } from "../../library/load.js";
import { Stop } from "../exit.js";
import { loadModel } from "../model.js";
import { runCli } from "../program.js";

vi.mock("../model.js");

it("passes every option on", async () => {
  const asked: Parameters<LanguageModel["generate"]>[] = [];
  vi.mocked(loadModel).mockImplementation(async () => {
    const model = await load();
    const begin = model.generate.bind(model);
    model.generate = (...given) => {
      asked.push(given);
      return begin(...given);
    };
    return model;
  });
  const { exitCode, stderr } = await run([
    ...["generate", "Once", "--max-tokens", "3", "--ignore-eos", "--mode", "recompute", "--parse-special"],
    ...["--temperature", "0.9", "--top-k", "20", "--top-p", "0.95", "--min-p", "0.01", "--seed", "11"],
    ...["--repetition-penalty", "1.1", "--frequency-penalty", "0.2", "--presence-penalty", "-0.1"],
    ...["--logit-bias", "13=-inf", "--logit-bias", "14=1.5,15=-2", "--stop", "\\n", "--stop", " dog"],
    ...["--logprobs", "2"],
  ]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(asked).toEqual([
    [
      "Once",
      {
        ...{ maxTokens: 3, ignoreEos: true, mode: "recompute", parseSpecial: true },
        ...{ temperature: 0.9, topK: 20, topP: 0.95, minP: 0.01, seed: 11 },
        ...{ repetitionPenalty: 1.1, frequencyPenalty: 0.2, presencePenalty: -0.1 },
        logitBias: new Map([
          [13, Number.NEGATIVE_INFINITY],
          [14, 1.5],
          [15, -2],
        ]),
        ...{ stop: ["\n", " dog"], logprobs: 2, signal: expect.any(AbortSignal) },
      },
    ],
  ]);
});

/** Tens of seconds of work. */
const LONG = ["generate", "Tom", "--max-tokens", "500", "--ignore-eos", "--mode", "recompute", "--seed", "1"];

/** A signal that is aborted a moment after a generation began. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  vi.mocked(loadModel).mockImplementation(async () => {
    const model = await load();
    const begin = model.generate.bind(model);
    model.generate = (...given) => {
      setTimeout(() => controller.abort(new Stop(130)), 30);
      return begin(...given);
    };
    return model;
  });
  return controller.signal;
}

describe("an interrupted generation", () => {
  it("finishes its line, and sums nothing up", async () => {
    const { exitCode, stdout, stderr } = await run(LONG, { signal: interruption(), isTerminal: true });
    expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: "" });
    expect(stdout.endsWith("\n")).toBe(true);
  });

  it("prints the object of what there is with --json", async () => {
    const { exitCode, stdout, stderr } = await run([...LONG, "--json"], { signal: interruption() });
    expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: "" });
    const { finishReason, tokens } = JSON.parse(stdout);
    expect(finishReason).toBe("abort");
    expect(tokens.length).toBeLessThan(500);
  });
});

it("an interruption ends the wait for standard input", async () => {
  const controller = new AbortController();
  const stdin = Object.assign(new PassThrough(), { isTTY: false });
  stdin.write("Tom had");
  const io = { ...capturedIo({ signal: controller.signal }), stdin };
  setTimeout(() => controller.abort(new Stop(130)), 20);
  expect(await runCli(["generate"], io)).toBe(130);
  expect({ stdout: io.stdout.text, stderr: io.stderr.text }).toEqual({ stdout: "", stderr: "" });
});
