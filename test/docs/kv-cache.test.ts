/** The worked timeline of docs/kv-cache.md, executed: every cell is what the KV cache does. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { BLOCK_SIZE, kvLayout } from "../../src/kernels/kv-layout.js";
import type { BlockTable } from "../../src/kv-cache/block-table.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { KvCache } from "../../src/kv-cache/kv-cache.js";
import type { KvEvent } from "../../src/kv-cache/kv-events.js";
import { run } from "../cli/captured-io.js";

const NUM_BLOCKS = 6;

/** The cells of the table whose head begins with "what happens", row by row. */
async function timeline(): Promise<string[][]> {
  const text = await readFile(new URL("../../docs/kv-cache.md", import.meta.url), "utf8");
  const lines = text.split("\n");
  const head = lines.findIndex((line) => line.startsWith("| what happens"));
  const end = lines.findIndex((line, i) => i > head && !line.startsWith("|"));
  return lines.slice(head + 2, end).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Executes `A begins: 33 x, 10 y`, `A adds: 3 z`, `B forks A`, `A ends` and `A is cut to 20`. */
class Executed {
  readonly cache: KvCache;
  readonly #tables = new Map<string, BlockTable>();
  readonly #tokens = new Map<string, number[]>();
  #events: KvEvent[] = [];

  constructor() {
    const layout = kvLayout({ numLayers: 1, numKvHeads: 1, headDim: 4 }, "f32", 0, NUM_BLOCKS);
    this.cache = new KvCache(layout, { copyBlock: () => undefined });
    this.cache.listener = (event) => this.#events.push(event);
  }

  do(what: string): void {
    this.#events = [];
    const words = /^([A-Z]) (begins|adds|forks|ends|is cut to):? ?(.*)$/.exec(what);
    if (words === null) throw new Error(`docs/kv-cache.md has a step that nobody can do: ${what}`);
    const [, name, verb, rest] = words;
    if (verb === "begins") this.#begin(name, rest);
    else if (verb === "adds") this.#add(name, rest);
    else if (verb === "forks") {
      this.#tables.set(name, this.cache.fork(this.#tableOf(rest)));
      this.#tokens.set(name, [...this.#tokensOf(rest)]);
    } else if (verb === "ends") {
      this.cache.free(this.#tableOf(name));
      this.#tables.delete(name);
    } else {
      this.cache.truncate(this.#tableOf(name), Number(rest));
      this.#tokensOf(name).length = Number(rest);
    }
    expect(violatedInvariants(this.cache)).toEqual([]);
  }

  /** `A 0 1 2 · B 0 1 3`, references, free list, events. */
  get cells(): string[] {
    const { pool } = this.cache;
    const tables = [...this.#tables].map(([name, { blockIds }]) => `${name}: ${blockIds.join(" ")}`);
    const references = Array.from({ length: NUM_BLOCKS }, (_, block) => pool.refCount(block));
    const events = this.#events.flatMap((event) => {
      if (event.type === "written") return [];
      return [
        event.type === "copied" ? `copied ${event.from} → ${event.to}` : `${event.type} ${event.block}`,
      ];
    });
    return [tables.join(" · "), references.join(" "), pool.freeBlocks().join(" "), events.join(", ")];
  }

  #begin(name: string, rest: string): void {
    const table = this.cache.createSequence();
    this.#tables.set(name, table);
    const tokens = this.#continued([], rest);
    const found = this.cache.findPrefix("", tokens, Math.floor((tokens.length - 1) / BLOCK_SIZE));
    table.append(tokens);
    this.cache.attach(table, found);
    this.#tokens.set(name, tokens);
    this.#compute(name);
  }

  #add(name: string, rest: string): void {
    this.#tokens.set(name, this.#continued(this.#tokensOf(name), rest));
    this.#compute(name);
  }

  #compute(name: string): void {
    const table = this.#tableOf(name);
    table.append(this.#tokensOf(name).slice(table.tokens.length));
    const count = table.tokens.length - table.length;
    if (!this.cache.reserve(table, count)) throw new Error("no room");
    this.cache.commit(table, count);
  }

  /** `33 x, 10 y`: the next 33 tokens of a text x, and 10 of y. Token i of x is x's code · 1000 + i. */
  #continued(before: readonly number[], rest: string): number[] {
    const tokens = [...before];
    for (const part of rest.split(", ")) {
      const [count, text] = part.split(" ");
      const code = text.charCodeAt(0) * 1000;
      const said = tokens.filter((token) => token >= code && token < code + 1000).length;
      for (let i = 0; i < Number(count); i++) tokens.push(code + said + i);
    }
    return tokens;
  }

  #tableOf(name: string): BlockTable {
    const table = this.#tables.get(name);
    if (table === undefined) throw new Error(`there is no sequence ${name}`);
    return table;
  }

  #tokensOf(name: string): number[] {
    return this.#tokens.get(name) ?? [];
  }
}

test("the timeline of docs/kv-cache.md is what happens", async () => {
  const rows = await timeline();
  expect(rows.length).toBeGreaterThan(8);
  const executed = new Executed();
  const happened = rows.map(([what]) => {
    executed.do(what.replaceAll("`", ""));
    return [what, ...executed.cells];
  });
  expect(happened).toEqual(rows);
});

test("the blocks that docs/kv-cache.md shows are what `lastrow cache` draws", async () => {
  const text = await readFile(new URL("../../docs/kv-cache.md", import.meta.url), "utf8");
  const [, command, shown] = /^\$ lastrow (cache .*)\n\n([\s\S]*?)^```$/m.exec(text)!;
  const { stdout } = await run([...command.split(" "), "--threads", "1"]);
  expect(stdout).toBe(shown);
});
