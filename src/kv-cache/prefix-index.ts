/**
 * Finds the block that holds the keys and values of 16 given tokens behind a given prefix.
 *
 * A full block is published under (id of the prefix before it, its 16 tokens, salt) and gets an id of its own: the id of
 * the prefix that ends with it. Since a row of K or V depends on all tokens up to it, equal keys mean equal contents.
 * Exact by construction: tokens and salts are compared, a hash only says where to look. Ids are never used again, so
 * what was published behind an evicted block can never be found behind other contents.
 *
 * Owns what is published, for each block at most one entry. Every operation costs a hash of 16 tokens and a short chain.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";

/** Id of the empty prefix. */
export const NO_PREFIX = 0;
const NONE = -1;

/** What a block is looked up by. */
export interface PrefixKey {
  /** Id of the prefix before the block, `NO_PREFIX` for the first one. */
  readonly parent: number;
  /** The sequence's tokens; those of the block start at `from`. */
  readonly tokens: ArrayLike<number>;
  readonly from: number;
  /** Sequences with different salts never find each other's blocks. */
  readonly salt: string;
}

export class PrefixIndex {
  /** By block; 0 where nothing is published. */
  readonly #ids: Float64Array;
  readonly #parents: Float64Array;
  readonly #tokens: Int32Array;
  readonly #salts: string[];
  /** Chains of blocks whose keys share a bucket. */
  readonly #buckets: Int32Array;
  readonly #next: Int32Array;
  readonly #bucketOf: Int32Array;
  readonly #hashSeed: number;
  #lastId = NO_PREFIX;
  #size = 0;

  /** @param hashSeed any 32-bit integer; a random one keeps others from choosing tokens that share a bucket */
  constructor(numBlocks: number, hashSeed = 0) {
    let buckets = 16;
    while (buckets < 2 * numBlocks) buckets *= 2;
    this.#ids = new Float64Array(numBlocks);
    this.#parents = new Float64Array(numBlocks);
    this.#tokens = new Int32Array(numBlocks * BLOCK_SIZE);
    this.#salts = new Array<string>(numBlocks).fill("");
    this.#buckets = new Int32Array(buckets).fill(NONE);
    this.#next = new Int32Array(numBlocks).fill(NONE);
    this.#bucketOf = new Int32Array(numBlocks);
    this.#hashSeed = hashSeed;
  }

  /** Blocks that can be found. */
  get size(): number {
    return this.#size;
  }

  /** Id of the prefix that ends with a block, or `NO_PREFIX` when the block is not published. */
  idOf(block: number): number {
    return this.#ids[block];
  }

  isPublished(block: number): boolean {
    return this.#ids[block] !== NO_PREFIX;
  }

  /** Id of the prefix before a published block. */
  parentOf(block: number): number {
    return this.#parents[block];
  }

  /** The block that was published under a key, or null. */
  find(key: PrefixKey): number | null {
    for (let block = this.#buckets[this.#bucket(key)]; block !== NONE; block = this.#next[block]) {
      if (this.#holds(block, key)) return block;
    }
    return null;
  }

  /**
   * Makes a block findable under a key that no other block has.
   * @returns the id of the prefix that ends with it
   */
  publish(block: number, key: PrefixKey): number {
    if (this.isPublished(block)) throw new Error(`KV block ${block} is published twice`);
    const bucket = this.#bucket(key);
    this.#lastId += 1;
    this.#ids[block] = this.#lastId;
    this.#parents[block] = key.parent;
    for (let i = 0; i < BLOCK_SIZE; i++) this.#tokens[block * BLOCK_SIZE + i] = key.tokens[key.from + i];
    this.#salts[block] = key.salt;
    this.#bucketOf[block] = bucket;
    this.#next[block] = this.#buckets[bucket];
    this.#buckets[bucket] = block;
    this.#size += 1;
    return this.#lastId;
  }

  /** Forgets a published block: its contents are about to change. */
  remove(block: number): void {
    if (!this.isPublished(block)) throw new Error(`KV block ${block} is not published`);
    const bucket = this.#bucketOf[block];
    if (this.#buckets[bucket] === block) this.#buckets[bucket] = this.#next[block];
    else {
      let before = this.#buckets[bucket];
      while (this.#next[before] !== block) before = this.#next[before];
      this.#next[before] = this.#next[block];
    }
    this.#next[block] = NONE;
    this.#ids[block] = NO_PREFIX;
    this.#salts[block] = "";
    this.#size -= 1;
  }

  #holds(block: number, { parent, tokens, from, salt }: PrefixKey): boolean {
    if (this.#parents[block] !== parent || this.#salts[block] !== salt) return false;
    for (let i = 0; i < BLOCK_SIZE; i++) {
      if (this.#tokens[block * BLOCK_SIZE + i] !== tokens[from + i]) return false;
    }
    return true;
  }

  /**
   * Multiply-and-xor over the key's 32-bit words (the constants of MurmurHash3, Appleby 2011). Of the salt only the
   * first block's key depends: behind it the parent's id stands for it.
   */
  #bucket({ parent, tokens, from, salt }: PrefixKey): number {
    let hash = mix(mix(this.#hashSeed, parent | 0), Math.floor(parent / 2 ** 32));
    for (let i = 0; i < BLOCK_SIZE; i++) hash = mix(hash, tokens[from + i]);
    if (parent === NO_PREFIX) {
      for (let i = 0; i < salt.length; i++) hash = mix(hash, salt.charCodeAt(i));
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash ^= hash >>> 13;
    return hash & (this.#buckets.length - 1);
  }
}

function mix(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const joined = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  return Math.imul((joined << 13) | (joined >>> 19), 5) + 0xe6546b64;
}
