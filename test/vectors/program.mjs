/**
 * A program that uses the built library as its first argument says, and then has V8 tell the values of its flags, which ends
 * the process: `node test/vectors/program.mjs nothing | load | two | throw | ended`.
 */
import { setTimeout as wait } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";

const { load } = await import("../../dist/index.js");
const { V8_FLAGS, putBackAfter, wideVectors } = await import("../../dist/platform/v8-flags.js");

const useModel = async (options) => {
  const lm = await load(undefined, { vectors: 256, threads: 1, ...options });
  const { vectors, dots, notices } = lm.info;
  const { text } = await lm.generate("Once upon a time", { maxTokens: 4, temperature: 0 });
  await lm.dispose();
  return { vectors, dots, notices, text };
};

const PROGRAMS = {
  nothing: async () => null,
  load: () => useModel(),
  here: () => useModel({ worker: false }),
  unasked: () => useModel({ vectors: "auto" }),
  two: () => Promise.all([useModel(), useModel({ worker: false }), useModel({ dtype: "int8" })]),
  throw: () =>
    wideVectors(false)(() => {
      throw new Error("in the middle");
    }).catch(({ message }) => message),
  /** A worker that is terminated while it has the flags set; what its starter does then. */
  async ended() {
    const flags = { areSet: new Int32Array(new SharedArrayBuffer(4)), execArgv: [] };
    const source = `import(${JSON.stringify(new URL("../../dist/platform/v8-flags.js", import.meta.url).href)})
      .then(({ wideVectors }) => wideVectors(false)(() => { for (;;); }))`;
    const worker = new Worker(source, { eval: true, workerData: { [V8_FLAGS]: flags } });
    while (Atomics.load(flags.areSet, 0) === 0) await wait(5);
    await worker.terminate();
    if (process.argv[3] !== "left") await putBackAfter(flags.areSet);
    return "ended";
  },
};

const result = await PROGRAMS[process.argv[2]]();
process.stdout.write(`${JSON.stringify(result)}\n`);
setFlagsFromString("--help");
