/**
 * Compiles what texts are held to, off the caller's event loop and the engine's thread, and keeps what was compiled. Owns the
 * thread, which is started for the first of them, what waits for it, of which tenants take turns, and the vocabulary's
 * tree, which is made once. What one tenant's schemas have cost says nothing to another: each has its own compiled.
 */
import { onAbort } from "../abort-listeners.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import type { PackedGrammar } from "../grammar/packed-grammar.js";
import { NO_TEXT, specialTokenBytes, tokenBytes } from "../grammar/token-trie.js";
import type { TokenVocabulary } from "../grammar/token-vocabulary.js";
import { FairQueue } from "../platform/fair-queue.js";
import { LimitedTasks, type TaskThread } from "../platform/limited-tasks.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { likelyMarkers } from "../tools/call-format.js";
import { type ConstraintSpec, specKey } from "./constraint-spec.js";
import type { GrammarTask, GrammarTaskResult } from "./grammar-tasks.js";

/** Most grammars that are kept, and most bytes of them, of all tenants; over that the tenant that has most gives way. */
const MAX_KEPT = 64;
const MAX_KEPT_BYTES = 64 * 2 ** 20;
/** Milliseconds for one, so that another waits no longer for it; work is counted, too. */
const DEADLINE_MS = 5000;
/** Tokens whose bytes are looked up before others have a turn. */
const TOKENS_PER_TURN = 4096;

/** A thread that runs grammar-thread.ts and is ready. */
export type GrammarThread = TaskThread<GrammarTask, GrammarTaskResult>;

/** A grammar that is compiled, is being compiled, or waits for it. */
interface Compiling {
  readonly spec: ConstraintSpec;
  readonly tenant: string;
  readonly grammar: Promise<PackedGrammar>;
  resolve(grammar: PackedGrammar): void;
  reject(error: unknown): void;
  /** How many want it. */
  wanted: number;
  /** Ends it when no caller does. */
  readonly unwanted: AbortController;
  /** Of the grammar, once it is there. */
  byteLength: number;
}

export class GrammarCompiler {
  readonly #tokenizer: Tokenizer;
  readonly #vocabSize: number;
  readonly #tasks: LimitedTasks<GrammarTask, GrammarTaskResult>;
  /** By tenant and spec; the one that was wanted last is the last. */
  readonly #kept = new Map<string, Compiling>();
  readonly #waiting = new FairQueue<Compiling>();
  #isAtWork = false;
  #vocabulary: Promise<TokenVocabulary> | null = null;

  /** @param vocabSize of the model: its tokenizer may have fewer tokens */
  constructor(tokenizer: Tokenizer, vocabSize: number, startThread: () => Promise<GrammarThread | null>) {
    this.#tokenizer = tokenizer;
    this.#vocabSize = vocabSize;
    this.#tasks = new LimitedTasks<GrammarTask, GrammarTaskResult>({
      startThread,
      // Loaded lazily: mostly a thread has it.
      runHere: async (task) => (await fetchedCode(import("./grammar-tasks.js"))).runGrammarTask(task),
      failure: (reason) => invalidArgument(`the schema, regex or grammar could not be compiled: ${reason}.`),
      disposed,
    });
  }

  /**
   * The grammar of a spec; equal ones of a tenant are compiled once.
   * @param signal its caller does not want it any more: what no caller wants is not begun, and ended where it has begun
   * @throws LastrowError `invalid_argument`, `disposed`; the signal's reason where no caller wants it
   */
  compile(spec: ConstraintSpec, tenant: string, signal: AbortSignal): Promise<PackedGrammar> {
    const key = JSON.stringify([tenant, specKey(spec)]);
    const compiling = this.#kept.get(key) ?? this.#enqueue(key, spec, tenant);
    this.#kept.delete(key);
    this.#kept.set(key, compiling);
    this.#forgetOldest();
    compiling.wanted += 1;
    const unlisten = onAbort(signal, () => {
      compiling.wanted -= 1;
      if (compiling.wanted > 0) return;
      this.#waiting.remove(tenant, compiling);
      if (this.#kept.get(key) === compiling) this.#kept.delete(key);
      compiling.unwanted.abort();
      compiling.reject(signal.reason);
    });
    return compiling.grammar.finally(unlisten);
  }

  /** The vocabulary, ready for grammars. */
  vocabulary(): Promise<TokenVocabulary> {
    this.#vocabulary ??= this.#makeVocabulary();
    this.#vocabulary.catch(() => {
      this.#vocabulary = null;
    });
    return this.#vocabulary;
  }

  async dispose(): Promise<void> {
    for (const { reject } of this.#waiting.clear()) reject(disposed());
    await this.#tasks.dispose();
  }

  #enqueue(key: string, spec: ConstraintSpec, tenant: string): Compiling {
    let settle!: Pick<Compiling, "resolve" | "reject">;
    const grammar = new Promise<PackedGrammar>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const compiling: Compiling = {
      spec,
      tenant,
      grammar,
      ...settle,
      wanted: 0,
      unwanted: new AbortController(),
      byteLength: 0,
    };
    grammar.then(
      ({ words, bytes }) => {
        compiling.byteLength = words.byteLength + bytes.byteLength;
        this.#forgetOldest();
      },
      // What fails may fail for the machine's sake, and is tried again.
      () => {
        if (this.#kept.get(key) === compiling) this.#kept.delete(key);
      },
    );
    this.#waiting.add(tenant, compiling);
    void this.#work();
    return compiling;
  }

  /**
   * Keeps to the bounds: the tenant that has most of what there is too much of loses what it has not wanted for longest.
   * One that asks for many would else make others wait for theirs to be compiled again.
   */
  #forgetOldest(): void {
    while (this.#forgetOne(MAX_KEPT, () => 1) || this.#forgetOne(MAX_KEPT_BYTES, (kept) => kept.byteLength));
  }

  /** @returns whether all together were over a bound; false: nothing has changed */
  #forgetOne(bound: number, sizeOf: (kept: Compiling) => number): boolean {
    const perTenant = new Map<string, number>();
    let sum = 0;
    for (const kept of this.#kept.values()) {
      sum += sizeOf(kept);
      perTenant.set(kept.tenant, (perTenant.get(kept.tenant) ?? 0) + sizeOf(kept));
    }
    if (sum <= bound) return false;
    const most = Math.max(...perTenant.values());
    for (const [key, kept] of this.#kept) {
      if (perTenant.get(kept.tenant) !== most) continue;
      this.#kept.delete(key);
      return true;
    }
    return false;
  }

  async #work(): Promise<void> {
    if (this.#isAtWork) return;
    this.#isAtWork = true;
    // What else is asked for at this moment is in the queue before the first turn is given.
    await Promise.resolve();
    for (let next = this.#waiting.take(); next !== null; next = this.#waiting.take()) {
      const { spec, resolve, reject, unwanted } = next;
      const task = this.#tasks.run({ kind: "compile", spec }, DEADLINE_MS, unwanted.signal);
      const compiled = task as Promise<PackedGrammar>;
      await compiled.then(resolve, reject);
    }
    this.#isAtWork = false;
  }

  async #makeVocabulary(): Promise<TokenVocabulary> {
    const special = new Set(this.#tokenizer.specialTokens.map(({ id }) => id));
    const texts: (Uint8Array | null)[] = new Array<null>(this.#vocabSize).fill(null);
    for (let token = 0; token < Math.min(this.#vocabSize, this.#tokenizer.vocabSize); token++) {
      if (token % TOKENS_PER_TURN === TOKENS_PER_TURN - 1) await nextTurn();
      const bytes = special.has(token) ? specialTokenBytes(token) : this.#tokenizer.tokenBytes(token);
      if (special.has(token) || !bytes.includes(NO_TEXT)) texts[token] = bytes;
    }
    return (await this.#tasks.run(
      { kind: "vocabulary", tokens: tokenBytes(texts), markers: likelyMarkers(this.#tokenizer) },
      DEADLINE_MS,
    )) as TokenVocabulary;
  }
}

function disposed(): LastrowError {
  return new LastrowError("disposed", "The model was disposed of while a grammar was compiled.");
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
