/**
 * What a store that does not answer costs: nothing of the processor's time for an answer while it is left alone. Figures are
 * printed; the bound has room for a machine with other work.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../serving/serve-process.js";
import { freePort } from "./child-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { askAll, countersOf, type Installation, newInstallation, startTierServer } from "./tier-servers.js";

const TOKENS = 6 * 16;
const CLIENTS = 16;

let installation: Installation;
let model: string;
beforeAll(async () => {
  installation = await newInstallation();
  model = await writeModel(installation.folder, "model", "slow");
});
afterAll(() => installation?.[Symbol.asyncDispose]());

const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Questions about texts that no server has seen. */
let numTexts = 0;
const newQuestions = (count: number) =>
  Array.from({ length: count }, () => ({ prompt: arbitraryPrompt(TOKENS + 4, ++numTexts), seed: 1 }));

test("a store that is gone for good takes none of the time of answers", async () => {
  const { keyFile } = installation;
  const gone = `redis://127.0.0.1:${await freePort()}`;
  const [withTier, without] = await Promise.all(
    [gone, null].map((tier) => startTierServer({ model, tier, keyFile })),
  );
  const seconds = async ({ url }: Running) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^process_cpu_seconds_total (\S+)$/m.exec(text)![1]);
  };
  const costs = new Map<Running, number[]>([
    [withTier, []],
    [without, []],
  ]);
  for (let round = 0; round < 4; round++) {
    const questions = newQuestions(CLIENTS);
    for (const server of round % 2 === 0 ? [withTier, without] : [without, withTier]) {
      const before = await seconds(server);
      await askAll(server, questions);
      costs.get(server)!.push((await seconds(server)) - before);
    }
  }
  const [ours, theirs] = [withTier, without].map((server) => Math.min(...costs.get(server)!));
  say(
    `processor time of ${CLIENTS} answers: ${ours.toFixed(3)} s with a tier that is gone, ${theirs.toFixed(3)} s without one`,
  );
  expect(ours / theirs).toBeLessThan(1.05);
  const { loads, timeouts } = await countersOf(withTier);
  expect({ loads, timeouts }).toEqual({ loads: 0, timeouts: 0 });
});
