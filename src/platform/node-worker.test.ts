import { execFile } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startWorker } from "./node-worker.js";

test("an engine's worker sees that a message waits while its own code goes on", async () => {
  const threads = new URL("../../dist/platform/node-threads.js", import.meta.url);
  const worker = startWorker(
    new URL(`data:text/javascript,
      import { workerPort } from ${JSON.stringify(threads.href)};
      const port = workerPort();
      port.onMessage((message) => port.post({ message, hasMore: port.hasMore() }));
      const before = port.hasMore();
      port.post("listens");
      const start = performance.now();
      while (!port.hasMore() && performance.now() - start < 20000);
      port.post({ before, after: port.hasMore() });`),
  );
  const answers: unknown[] = [];
  worker.on("message", (answer) => answers.push(answer));
  await once(worker, "message");
  worker.postMessage("one");
  worker.postMessage("two");
  while (answers.length < 4) await once(worker, "message");
  await worker.terminate();
  expect(answers.slice(0, 2)).toEqual(["listens", { before: false, after: true }]);
  expect(answers.slice(2).map((answer) => (answer as { message: string }).message)).toEqual(["one", "two"]);
  expect(answers[3]).toEqual({ message: "two", hasMore: false });
});

test("a program goes on behind dispose, also where that has ended calls", async () => {
  const { href } = new URL("../../dist/index.js", import.meta.url);
  const program = `
    import { load } from ${JSON.stringify(href)};
    const lm = await load(undefined, { threads: 1 });
    const stats = lm.stats().catch(({ code }) => code);
    await lm.dispose();
    console.log(await stats);`;
  const { stdout } = await promisify(execFile)("node", ["--input-type=module", "-e", program]);
  expect(stdout).toBe("disposed\n");
});
