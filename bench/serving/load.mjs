/** Load on `lastrow serve` over loopback, in turns with the engine alone. See README.md. */
import { spawn } from "node:child_process";
import { Agent, request } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { requestOf } from "./requests.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "1,4,16,64" },
    rounds: { type: "string", default: "3" },
    requests: { type: "string", default: "4" },
    "max-tokens": { type: "string", default: "64" },
    minutes: { type: "string" },
    model: { type: "string" },
    dtype: { type: "string", default: "f32" },
    threads: { type: "string" },
    "kv-memory": { type: "string", default: "128MiB" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(
    "node bench/serving/load.mjs [--clients 1,4,16,64] [--rounds 3] [--requests 4] [--max-tokens 64]\n" +
      "  [--model MODEL] [--dtype f32|int8] [--threads N] [--kv-memory 128MiB] [--minutes M]\n" +
      "--requests: of each client in a round. --minutes: one run of that length for the first number of clients.\n",
  );
  process.exit(0);
}
const maxTokens = Number(values["max-tokens"]);
const counts = values.clients.split(",").map(Number);

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

const server = await startServer();
try {
  if (values.minutes !== undefined) await soak(counts[0], Number(values.minutes));
  else await compare();
} finally {
  server.child.kill("SIGTERM");
}

/** Rounds of the server and of the engine, in turns. */
async function compare() {
  const engine = await startEngine();
  let first = 0;
  print(
    "clients  requests/s  tokens/s  first token p50/p95/p99 ms  between tokens p50/p95/p99 ms  cached  engine alone  share",
  );
  for (const clients of counts) {
    const requests = clients * Number(values.requests);
    const rounds = [];
    // The first round warms both up.
    for (let round = 0; round <= Number(values.rounds); round++) {
      const served = await load({ clients, requests, first });
      const alone = await engine.measure({ clients, requests, maxTokens, first });
      first += requests;
      if (round > 0) rounds.push({ served, alone });
    }
    print(row(clients, rounds));
  }
  engine.end();
}

function row(clients, rounds) {
  const tokensOf = ({ tokens, seconds }) => tokens / seconds;
  const served = median(rounds.map((round) => tokensOf(round.served)));
  const alone = median(rounds.map((round) => tokensOf(round.alone)));
  const share = median(rounds.map((round) => tokensOf(round.served) / tokensOf(round.alone)));
  const requests = median(rounds.map((round) => round.served.requests / round.served.seconds));
  const all = (name) => rounds.flatMap((round) => round.served[name]).sort((a, b) => a - b);
  const sum = (name) => rounds.reduce((total, round) => total + round.served[name], 0);
  return [
    String(clients).padStart(7),
    requests.toFixed(1).padStart(10),
    served.toFixed(0).padStart(8),
    percentiles(all("firstMs")).padStart(26),
    percentiles(all("betweenMs")).padStart(29),
    `${((100 * sum("cachedTokens")) / sum("promptTokens")).toFixed(0)} %`.padStart(6),
    alone.toFixed(0).padStart(12),
    `${(100 * share).toFixed(0)} %`.padStart(5),
  ].join("  ");
}

/** One long run; the server's memory as it goes. */
async function soak(clients, minutes) {
  const end = performance.now() + minutes * 60_000;
  let first = 0;
  const looks = [];
  let nextLook = performance.now();
  let last = { tokens: 0, at: performance.now() };
  let tokens = 0;
  let failures = 0;
  print("minutes  resident memory MB  heap MB  tokens/s");
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (performance.now() < end) {
        const result = await complete(first++).catch(() => null);
        if (result === null) failures += 1;
        else tokens += result.tokens;
        if (performance.now() < nextLook) continue;
        nextLook = performance.now() + 15_000;
        const metrics = await (await fetch(`${server.url}/metrics`)).text();
        const read = (name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(metrics)?.[1]);
        const look = {
          minutes: minutes - (end - performance.now()) / 60_000,
          resident: read("process_resident_memory_bytes") / 1e6,
          heap: read("nodejs_heap_size_used_bytes") / 1e6,
        };
        looks.push(look);
        const rate = ((tokens - last.tokens) * 1000) / (performance.now() - last.at);
        last = { tokens, at: performance.now() };
        print(
          `${look.minutes.toFixed(2).padStart(7)}  ${look.resident.toFixed(0).padStart(18)}  ${look.heap.toFixed(0).padStart(7)}  ${rate.toFixed(0).padStart(8)}`,
        );
      }
    }),
  );
  print(`${first} requests, ${tokens} tokens, ${failures} failures`);
  const third = Math.floor(looks.length / 3);
  const mean = (part) => part.reduce((total, { resident }) => total + resident, 0) / part.length;
  if (third > 0) {
    print(
      `resident memory, mean of the second third ${mean(looks.slice(third, 2 * third)).toFixed(0)} MB, of the last ${mean(looks.slice(-third)).toFixed(0)} MB`,
    );
  }
}

/** So many requests by so many clients, each of which sends its next one when its last has ended. */
async function load({ clients, requests, first }) {
  const sum = { tokens: 0, promptTokens: 0, cachedTokens: 0, firstMs: [], betweenMs: [], requests };
  let next = first;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < first + requests) {
        const result = await complete(next++);
        sum.tokens += result.tokens;
        sum.promptTokens += result.promptTokens;
        sum.cachedTokens += result.cachedTokens;
        sum.firstMs.push(result.firstMs);
        sum.betweenMs.push(...result.betweenMs);
      }
    }),
  );
  return { ...sum, seconds: (performance.now() - start) / 1000 };
}

/** One streamed completion, every event of it read. */
function complete(i) {
  const body = JSON.stringify({
    ...requestOf(i),
    max_tokens: maxTokens,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request(`${server.url}/v1/completions`, { method: "POST", agent, headers }, (response) => {
      const betweenMs = [];
      let firstMs = null;
      let last = 0;
      let rest = "";
      let usage = null;
      response.setEncoding("utf8");
      response.on("data", (text) => {
        const now = performance.now();
        const events = (rest + text).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          if (!event.startsWith("data: {")) continue;
          if (event.includes('"finish_reason":null')) {
            if (firstMs === null) firstMs = now - start;
            else betweenMs.push(now - last);
            last = now;
          } else if (event.includes('"choices":[]')) usage = JSON.parse(event.slice(6)).usage;
          else if (event.startsWith('data: {"error"')) reject(new Error(event));
        }
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode !== 200 || usage === null) {
          reject(new Error(`status ${response.statusCode}: ${rest.slice(0, 200)}`));
          return;
        }
        resolve({
          firstMs,
          betweenMs,
          tokens: usage.completion_tokens,
          promptTokens: usage.prompt_tokens,
          cachedTokens: usage.prompt_tokens_details.cached_tokens,
        });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function startServer() {
  const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const args = [main, "serve", "--port", "0", "--dtype", values.dtype, "--kv-memory", values["kv-memory"]];
  if (values.model !== undefined) args.push("--model", values.model);
  if (values.threads !== undefined) args.push("--threads", values.threads);
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\/\/[\d.:]+/.exec(line)?.[0];
    if (url !== undefined) {
      child.stdout.resume();
      return { child, url };
    }
  }
  throw new Error("the server did not start");
}

async function startEngine() {
  const options = {
    dtype: values.dtype,
    kvMemory: values["kv-memory"],
    ...(values.threads !== undefined && { threads: Number(values.threads) }),
  };
  const script = fileURLToPath(new URL("engine.mjs", import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify({ model: values.model, options })], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    async measure(job) {
      child.stdin.write(`${JSON.stringify(job)}\n`);
      return JSON.parse((await lines.next()).value);
    },
    end: () => child.stdin.end(),
  };
}

function percentiles(sorted) {
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return [0.5, 0.95, 0.99].map((share) => at(share).toPrecision(3)).join(" / ");
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function print(line) {
  process.stdout.write(`${line}\n`);
}
