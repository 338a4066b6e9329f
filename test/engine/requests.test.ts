/** Many requests in a row, and many that are cancelled somewhere: nothing of them stays. */
import { expect, test } from "vitest";
import { load } from "../../src/index.js";
import { modelFolders } from "../fixture-models.js";
import { cancelRequest, finishRequest } from "./requests.js";

test("requests that ended, and requests that were cancelled at any point, hold no block and no sequence", async () => {
  await using lm = await load(modelFolders.tiny, { threads: 1, kvMemory: "512KiB" });
  for (let i = 0; i < 400; i++) {
    if (i % 4 === 3) await cancelRequest(lm, i);
    else await finishRequest(lm, i);
    if (i % 50 !== 49) continue;
    const { blocks, sequences } = await lm.stats();
    expect(blocks.referenced).toBe(0);
    expect(blocks.cached + blocks.free).toBe(blocks.total);
    expect(sequences).toMatchObject({ running: 0, waiting: 0, idle: 0 });
  }
  // Several at once, some of them cancelled.
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? cancelRequest(lm, i) : finishRequest(lm, i))),
  );
  expect((await lm.stats()).blocks.referenced).toBe(0);
});
