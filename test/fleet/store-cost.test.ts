/**
 * What a store that does not answer costs: nothing of the processor's time for an answer while it is left alone. Figures are
 * printed. A processor that others use, too, takes longer for the same by a third and more, from one round to the next: so each
 * server's least counts, of as many rounds as it takes until both have had a quiet one.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../serving/serve-process.js";
import { freePort } from "./child-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { askAll, countersOf, type Installation, newInstallation, startTierServer } from "./tier-servers.js";

const TOKENS = 6 * 16;
const CLIENTS = 16;
/** A cost that is there is in each of so many rounds. */
const MOST_ROUNDS = 40;
/** How many times as long as without a tier; what is left of noise. */
const BOUND = 1.05;

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
  const least = new Map<Running, number>();
  const leastOf = (server: Running) => least.get(server) ?? Number.POSITIVE_INFINITY;
  let rounds = 0;
  while (rounds < 2 || (rounds < MOST_ROUNDS && leastOf(withTier) >= BOUND * leastOf(without))) {
    const questions = newQuestions(CLIENTS);
    for (const server of rounds % 2 === 0 ? [withTier, without] : [without, withTier]) {
      const before = await seconds(server);
      await askAll(server, questions);
      least.set(server, Math.min(leastOf(server), (await seconds(server)) - before));
    }
    rounds += 1;
  }
  const [ours, theirs] = [withTier, without].map(leastOf);
  say(
    `processor time of ${CLIENTS} answers, the least of ${rounds} rounds: ${ours.toFixed(3)} s with a tier that is gone, ${theirs.toFixed(3)} s without one`,
  );
  expect(ours / theirs).toBeLessThan(BOUND);
  const { loads, timeouts } = await countersOf(withTier);
  expect({ loads, timeouts }).toEqual({ loads: 0, timeouts: 0 });
});
