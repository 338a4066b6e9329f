/**
 * What is written to a tier, and what that brings: each policy of `--tier-write` with a load of chats and one of few-shot prompts, on
 * three servers that know nothing of each other. Counted in rows and bytes, not timed: a small model does. After each
 * request it is waited until its blocks are written, as if requests were far apart.
 */

import { startRedis } from "../../test/fleet/redis-server.js";
import { seededRandom } from "../../test/seeded-random.js";
import { type Bench, KEY, megabytes, only, percent, type Table, tokensOf } from "./measured.js";
import { ModelProcess } from "./model-link.js";

const POLICIES = ["first", "auto", "second"] as const;
const SERVERS = 3;
const BLOCK = 16;
/** What a server's own KV memory holds is not asked for; this is little, so that a tier has something to do. */
const KV_BYTES = 48 * 2 ** 20;
/** Of chats, turns that go to the server of the turn before. */
const STICKY = 0.75;
/** Of all requests, those that nothing like it comes before or after. */
const SINGLE = 0.25;

interface Request {
  readonly server: number;
  readonly tokens: readonly number[];
}

export async function writePolicies(bench: Bench, model: string): Promise<Table> {
  const rows: string[][] = [];
  for (const [name, load] of [
    ["chats", chats()],
    ["few-shot", fewShot()],
  ] as const) {
    for (const policy of POLICIES) {
      bench.say(`write policies: ${name}, ${policy}`);
      rows.push([name, policy, ...(await served(bench, model, load, policy))]);
    }
  }
  return {
    title: "What is written, and what it brings",
    head: [
      "load",
      "`--tier-write`",
      "rows",
      "found in the server's own cache",
      "of the rest from the tier",
      "at most possible",
      "written",
      "read",
      "declined",
    ],
    rows,
    notes: [
      `${SERVERS} servers. Chats: 24 of 6 turns of 32 to 96 tokens that begin alike, ${percent(STICKY, 0)} of turns on the server of the turn before. Few-shot: 120 requests on any server, each one of 6 beginnings of 200 to 420 tokens and 48 of its own. Of both ${percent(SINGLE, 0)} more that are like no other.`,
    ],
  };
}

async function served(
  bench: Bench,
  model: string,
  load: readonly Request[],
  write: (typeof POLICIES)[number],
) {
  await using redis = await startRedis();
  await using servers = new ModelProcess();
  const names = Array.from({ length: SERVERS }, (_, i) => `server ${i}`);
  for (const name of names) {
    await servers.load(name, model, {
      ...{ dtype: "f32", kvDtype: "f32", vectors: bench.vectors, threads: bench.threads, kvMemory: KV_BYTES },
      tier: { url: redis.url, key: KEY, write },
    });
    // How fast it computes has to be known before it can tell what pays.
    await servers.inTurn(name, [
      { tokens: tokensOf(900 + names.indexOf(name), 300), maxTokens: 1, salt: "warm" },
    ]);
  }
  const computed = new Set<string>();
  let all = 0;
  let found = 0;
  let findable = 0;
  for (const { server, tokens } of load) {
    const { numCachedTokens } = await only(
      servers.inTurn(names[server], [{ tokens, maxTokens: 1, salt: "" }]),
    );
    all += tokens.length;
    found += numCachedTokens;
    findable += Math.max(numCachedTokens, longestKnown(computed, tokens));
    await servers.written(names[server]);
  }
  let loaded = 0;
  let declined = 0;
  let read = 0;
  let written = 0;
  for (const name of names) {
    const { engine, tier } = await servers.stats(name);
    loaded += engine!.tokensLoaded;
    declined += engine!.declined;
    read += tier!.bytesRead;
    written += tier!.bytesWritten;
  }
  const own = found - loaded;
  return [
    ...[all.toLocaleString("en"), percent(own / all), percent(loaded / (all - own))],
    ...[percent((findable - own) / (all - own)), megabytes(written), megabytes(read), String(declined)],
  ];
}

/** Rows of the longest beginning in full blocks that any server has computed before; these tokens' are from now on. */
function longestKnown(computed: Set<string>, tokens: readonly number[]): number {
  let known = 0;
  for (let end = BLOCK; end < tokens.length; end += BLOCK) {
    const prefix = tokens.slice(0, end).join();
    if (known === end - BLOCK && computed.has(prefix)) known = end;
    computed.add(prefix);
  }
  return known;
}

/** Turns of chats in the order of their coming, and prompts of no chat between them. */
function chats(): Request[] {
  const random = seededRandom(1);
  const below = (end: number) => Math.floor(random() * end);
  const system = tokensOf(2000, 64);
  const open = Array.from({ length: 24 }, (_, i) => ({ tokens: system, server: i % SERVERS, turns: 6 }));
  const all: Request[] = [];
  while (open.length > 0) {
    const chat = open[below(open.length)];
    if (random() >= STICKY) chat.server = below(SERVERS);
    chat.tokens = [...chat.tokens, ...tokensOf(3000 + all.length, 32 + below(65))];
    all.push({ server: chat.server, tokens: chat.tokens });
    chat.turns -= 1;
    if (chat.turns === 0) open.splice(open.indexOf(chat), 1);
    if (random() < SINGLE)
      all.push({ server: below(SERVERS), tokens: tokensOf(5000 + all.length, 100 + below(300)) });
  }
  return all;
}

function fewShot(): Request[] {
  const random = seededRandom(2);
  const below = (end: number) => Math.floor(random() * end);
  const beginnings = Array.from({ length: 6 }, (_, i) => tokensOf(6000 + i, 200 + 44 * i));
  const all: Request[] = [];
  for (let i = 0; i < 120; i++) {
    // Some are asked for more often.
    const beginning = beginnings[Math.floor(beginnings.length * random() ** 2)];
    all.push({ server: below(SERVERS), tokens: [...beginning, ...tokensOf(7000 + i, 48)] });
    if (random() < SINGLE) all.push({ server: below(SERVERS), tokens: tokensOf(8000 + i, 100 + below(300)) });
  }
  return all;
}
