/**
 * Finds the blocks that hold the keys and values of 16 given tokens behind a given prefix.
 *
 * Every full block of tokens that a sequence may share has a node, under (node of the prefix before it, its 16 tokens, salt):
 * it stands for the prefix that ends with them. A node has at most one block for each group of layers. Since a row of K or V
 * depends on all tokens up to it, equal nodes mean equal contents. Exact by construction: tokens and salts are compared, a
 * hash only says where to look. A node stays as long as it has a block, or a node behind it, or a sequence that ends there:
 * so a prefix is known whose first blocks no window sees any more. Its id is never used again.
 *
 * Owns what is published, for each block at most one node. Looking one up costs a hash of 16 tokens and a short chain.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";

const NONE = -1;

/** A prefix of whole blocks. Changed by its index only. */
export interface PrefixNode {
  /** Positive, and no other's ever. */
  readonly id: number;
  /** The prefix before the last 16 tokens; null: the empty one. */
  readonly parent: PrefixNode | null;
  /** Of the last 16 positions, by group of layers; −1 where there is none. */
  readonly blocks: Int32Array;
}

interface Node extends PrefixNode {
  readonly parent: Node | null;
  readonly tokens: Int32Array;
  readonly salt: string;
  readonly bucket: number;
  /** The next in the same bucket. */
  next: Node | null;
  /** Blocks, nodes behind it, and sequences that end with it. */
  uses: number;
}

/** What a node is looked up by. */
export interface PrefixKey {
  /** The prefix before the block, null for the first one. */
  readonly parent: PrefixNode | null;
  /** The sequence's tokens; those of the block start at `from`. */
  readonly tokens: ArrayLike<number>;
  readonly from: number;
  /** Sequences with different salts never find each other's blocks. */
  readonly salt: string;
}

export class PrefixIndex {
  readonly #numGroups: number;
  readonly #buckets: (Node | null)[];
  /** By block; null where nothing is published. */
  readonly #nodes: (Node | null)[];
  readonly #hashSeed: number;
  #lastId = 0;
  #size = 0;
  #numNodes = 0;

  /**
   * @param numGroups groups of layers
   * @param hashSeed any 32-bit integer; a random one keeps others from choosing tokens that share a bucket
   */
  constructor(numBlocks: number, numGroups = 1, hashSeed = 0) {
    let buckets = 16;
    while (buckets < 2 * numBlocks) buckets *= 2;
    this.#numGroups = numGroups;
    this.#buckets = new Array<Node | null>(buckets).fill(null);
    this.#nodes = new Array<Node | null>(numBlocks).fill(null);
    this.#hashSeed = hashSeed;
  }

  /** Blocks that are published. */
  get size(): number {
    return this.#size;
  }

  /** Prefixes that are known. */
  get numNodes(): number {
    return this.#numNodes;
  }

  /** The prefix that ends with a block, or null when the block is not published. */
  nodeOf(block: number): PrefixNode | null {
    return this.#nodes[block];
  }

  isPublished(block: number): boolean {
    return this.#nodes[block] !== null;
  }

  /** The prefix that is known under a key, or null. */
  find(key: PrefixKey): PrefixNode | null {
    for (let node = this.#buckets[this.#bucket(key)]; node !== null; node = node.next) {
      if (holds(node, key)) return node;
    }
    return null;
  }

  /** What a prefix is of: its salt, and all its tokens. */
  prefixOf(prefix: PrefixNode): { readonly salt: string; readonly tokens: Int32Array<ArrayBuffer> } {
    const nodes: Node[] = [];
    for (let node: Node | null = prefix as Node; node !== null; node = node.parent) nodes.push(node);
    const tokens = new Int32Array(nodes.length * BLOCK_SIZE);
    for (const [i, node] of nodes.reverse().entries()) tokens.set(node.tokens, i * BLOCK_SIZE);
    return { salt: nodes[0].salt, tokens };
  }

  /** The prefix of a key, for a sequence that ends with it: known until `letGo`. */
  hold(key: PrefixKey): PrefixNode {
    const node = (this.find(key) as Node | null) ?? this.#add(key);
    node.uses += 1;
    return node;
  }

  /** The same of a prefix that is known. */
  holdKnown(node: PrefixNode): void {
    (node as Node).uses += 1;
  }

  /** Ends a `hold`. */
  letGo(node: PrefixNode): void {
    this.#dropUse(node as Node);
  }

  /** Makes a block findable, as that of a group of layers; the prefix has none of this group. */
  publish(block: number, group: number, node: PrefixNode): void {
    if (this.isPublished(block)) throw new Error(`KV block ${block} is published twice`);
    if (node.blocks[group] !== NONE)
      throw new Error(`prefix ${node.id} has a KV block of group ${group} already`);
    node.blocks[group] = block;
    (node as Node).uses += 1;
    this.#nodes[block] = node as Node;
    this.#size += 1;
  }

  /** Forgets a published block: its contents are about to change. */
  remove(block: number): void {
    const node = this.#nodes[block];
    if (node === null) throw new Error(`KV block ${block} is not published`);
    node.blocks[node.blocks.indexOf(block)] = NONE;
    this.#nodes[block] = null;
    this.#size -= 1;
    this.#dropUse(node);
  }

  #add({ parent, tokens, from, salt }: PrefixKey): Node {
    const bucket = this.#bucket({ parent, tokens, from, salt });
    this.#lastId += 1;
    const node: Node = {
      id: this.#lastId,
      parent: parent as Node | null,
      tokens: Int32Array.from({ length: BLOCK_SIZE }, (_, i) => tokens[from + i]),
      salt,
      blocks: new Int32Array(this.#numGroups).fill(NONE),
      bucket,
      next: this.#buckets[bucket],
      uses: 0,
    };
    this.#buckets[bucket] = node;
    if (node.parent !== null) node.parent.uses += 1;
    this.#numNodes += 1;
    return node;
  }

  /** The end of a node's last use takes the node, and those before it that are of no use without it. */
  #dropUse(unused: Node): void {
    for (let node: Node | null = unused; node !== null; node = node.parent) {
      node.uses -= 1;
      if (node.uses > 0) return;
      this.#unlink(node);
    }
  }

  #unlink(node: Node): void {
    this.#numNodes -= 1;
    const first = this.#buckets[node.bucket];
    if (first === node) {
      this.#buckets[node.bucket] = node.next;
      return;
    }
    let before = first;
    while (before !== null && before.next !== node) before = before.next;
    if (before === null) throw new Error(`prefix ${node.id} is not where it should be found`);
    before.next = node.next;
  }

  /**
   * Multiply-and-xor over the key's 32-bit words (the constants of MurmurHash3, Appleby 2011). Of the salt only the
   * first block's key depends: behind it the parent's id stands for it.
   */
  #bucket({ parent, tokens, from, salt }: PrefixKey): number {
    const id = parent?.id ?? 0;
    let hash = mix(mix(this.#hashSeed, id | 0), Math.floor(id / 2 ** 32));
    for (let i = 0; i < BLOCK_SIZE; i++) hash = mix(hash, tokens[from + i]);
    if (parent === null) {
      for (let i = 0; i < salt.length; i++) hash = mix(hash, salt.charCodeAt(i));
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash ^= hash >>> 13;
    return hash & (this.#buckets.length - 1);
  }
}

function holds(node: Node, { parent, tokens, from, salt }: PrefixKey): boolean {
  if (node.parent !== parent || node.salt !== salt) return false;
  for (let i = 0; i < BLOCK_SIZE; i++) if (node.tokens[i] !== tokens[from + i]) return false;
  return true;
}

function mix(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const joined = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  return Math.imul((joined << 13) | (joined >>> 19), 5) + 0xe6546b64;
}
