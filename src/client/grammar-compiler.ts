/**
 * Compiles what texts are held to, off the caller's event loop and the engine's thread, and keeps what was compiled. Owns the
 * thread, which is started for the first of them; and the vocabulary's tree, which is made once.
 */
import { invalidArgument, LastrowError } from "../errors.js";
import { type ConstraintSpec, specKey } from "../grammar/constraint-spec.js";
import type { Grammar } from "../grammar/grammar.js";
import { type TokenTrie, tokenBytes } from "../grammar/token-trie.js";
import { LimitedTasks, type TaskThread } from "../platform/limited-tasks.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { GrammarTask, GrammarTaskResult } from "./grammar-tasks.js";

/** Most grammars that are kept. */
const MAX_KEPT = 64;
/** Milliseconds for one: work is counted, too, so that this is for a machine that is held up. */
const DEADLINE_MS = 20_000;
/** Tokens whose bytes are looked up before others have a turn. */
const TOKENS_PER_TURN = 4096;

/** A thread that runs grammar-thread.ts and is ready. */
export type GrammarThread = TaskThread<GrammarTask, GrammarTaskResult>;

export class GrammarCompiler {
  readonly #tokenizer: Tokenizer;
  readonly #vocabSize: number;
  readonly #tasks: LimitedTasks<GrammarTask, GrammarTaskResult>;
  readonly #kept = new Map<string, Promise<Grammar>>();
  #trie: Promise<TokenTrie> | null = null;

  /** @param vocabSize of the model: its tokenizer may have fewer tokens */
  constructor(tokenizer: Tokenizer, vocabSize: number, startThread: () => Promise<GrammarThread | null>) {
    this.#tokenizer = tokenizer;
    this.#vocabSize = vocabSize;
    this.#tasks = new LimitedTasks<GrammarTask, GrammarTaskResult>({
      startThread,
      // Loaded lazily: mostly a thread has it.
      runHere: async (task) => (await import("./grammar-tasks.js")).runGrammarTask(task),
      failure: (reason) => invalidArgument(`the schema, regex or grammar could not be compiled: ${reason}.`),
      disposed: () => new LastrowError("disposed", "The model was disposed of while a grammar was compiled."),
    });
  }

  /**
   * The grammar of a spec; equal ones are compiled once.
   * @throws LastrowError `invalid_argument`, `disposed`
   */
  compile(spec: ConstraintSpec): Promise<Grammar> {
    const key = specKey(spec);
    const kept =
      this.#kept.get(key) ?? (this.#tasks.run({ kind: "compile", spec }, DEADLINE_MS) as Promise<Grammar>);
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    // What fails may fail for the machine's sake, and is tried again.
    kept.catch(() => this.#kept.delete(key));
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest);
    return kept;
  }

  /** The vocabulary's tree. */
  trie(): Promise<TokenTrie> {
    this.#trie ??= this.#makeTrie();
    this.#trie.catch(() => {
      this.#trie = null;
    });
    return this.#trie;
  }

  dispose(): Promise<void> {
    return this.#tasks.dispose();
  }

  async #makeTrie(): Promise<TokenTrie> {
    const special = new Set(this.#tokenizer.specialTokens.map(({ id }) => id));
    const texts: (Uint8Array | null)[] = new Array<null>(this.#vocabSize).fill(null);
    for (let token = 0; token < Math.min(this.#vocabSize, this.#tokenizer.vocabSize); token++) {
      if (token % TOKENS_PER_TURN === TOKENS_PER_TURN - 1) await nextTurn();
      if (!special.has(token)) texts[token] = this.#tokenizer.tokenBytes(token);
    }
    return (await this.#tasks.run({ kind: "trie", vocabulary: tokenBytes(texts) }, DEADLINE_MS)) as TokenTrie;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
