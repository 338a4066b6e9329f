/**
 * What records of a KV tier are called, and the keys that they are sealed with: pure, and the same on every server that has
 * the installation's tier key.
 *
 * A name is an HMAC over the namespace, the tenant's salt and all tokens up to the block's end, block by block: each block's id
 * is made of the one before it. So whoever cannot compute it learns nothing from it: not what a prompt says, not
 * whether two tenants have the same one, and no name can be made up for a prompt that is guessed.
 */
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { endianness } from "node:os";
import type { TierIdentity } from "../protocol/tier-messages.js";

/** Of records and their names: a change makes other namespaces, so that versions share a store and do not meet in it. */
export const RECORD_VERSION = 1;

/** Of ids and of the namespace's digest: SHA-256's. */
export const ID_BYTES = 32;

/** What all names of a version begin with, which is what a server has to be allowed: `~lr1:*` in an ACL. */
const NAME_PREFIX = `lr${RECORD_VERSION}:`;

/** Characters of the namespace in a name: for people, and so that one namespace can be told from another. */
const SHOWN_OF_NAMESPACE = 10;

/** A full block of a prefix, of whichever group of layers. */
export interface PrefixBlock {
  /** Its number in the prefix. */
  readonly index: number;
  /** Id of the block before it; of the first one, the tenant's root. */
  readonly parent: Buffer;
  /** Stands for the namespace, the salt and all tokens up to its end: 32 bytes. */
  readonly id: Buffer;
  /** Its own tokens, `TierIdentity.blockSize` of them, as little-endian integers of 32 bits. */
  readonly tokens: Buffer;
}

/** All records that may be exchanged with no byte of K and V changed: those of one identity, under one tier key. */
export class TierNamespace {
  readonly identity: TierIdentity;
  /** SHA-256 of the identity and of the records' version. */
  readonly digest: Buffer;
  readonly #nameKey: Buffer;
  readonly #sealKey: Buffer;

  /** @param tierKey the installation's, of 32 bytes or more; not kept */
  constructor(tierKey: Uint8Array, identity: TierIdentity) {
    this.identity = identity;
    this.digest = createHash("sha256").update(canonical(identity)).digest();
    const derived = (use: string) =>
      Buffer.from(hkdfSync("sha256", tierKey, this.digest, `lastrow tier: ${use}`, ID_BYTES));
    this.#nameKey = derived("names");
    this.#sealKey = derived("seals");
  }

  /**
   * The full blocks of a prefix, first to last; a rest that fills none is left out.
   * @param salt the tenant's: equal prefixes of two salts have nothing in common
   * @param tokens ids, position by position
   */
  blocksOf(salt: string, tokens: Int32Array): PrefixBlock[] {
    const { blockSize } = this.identity;
    const bytes = littleEndian(tokens);
    const blocks: PrefixBlock[] = [];
    let parent = this.#root(salt);
    for (let index = 0; (index + 1) * blockSize <= tokens.length; index++) {
      const own = bytes.subarray(index * blockSize * 4, (index + 1) * blockSize * 4);
      const id = this.#hmac("block").update(parent).update(own).digest();
      blocks.push({ index, parent, id, tokens: own });
      parent = id;
    }
    return blocks;
  }

  /** Under which name a store has a block of one group of layers: ASCII, no more than 70 characters. */
  nameOf(block: PrefixBlock, group: number): string {
    const namespace = this.digest.toString("base64url").slice(0, SHOWN_OF_NAMESPACE);
    return `${NAME_PREFIX}${namespace}:${block.id.toString("base64url")}:${group}`;
  }

  /**
   * The key that one record is sealed with, and no other: with a key for each name, no number of records makes it necessary
   * to change the tier key.
   */
  sealKeyOf(name: string): Buffer {
    return createHmac("sha256", this.#sealKey).update(name).digest();
  }

  /** UTF-16, since UTF-8 has one form for all halves of surrogate pairs, and two salts must never be one. */
  #root(salt: string): Buffer {
    return this.#hmac("root").update(this.digest).update(salt, "utf16le").digest();
  }

  #hmac(use: "root" | "block") {
    return createHmac("sha256", this.#nameKey).update(use);
  }
}

/** An identity as one text: fields in this order, each quoted, so that no two identities have the same one. */
function canonical(identity: TierIdentity): string {
  return JSON.stringify([
    "lastrow tier",
    RECORD_VERSION,
    identity.blockSize,
    identity.blockBytes,
    identity.fingerprint,
    identity.dtypes,
    identity.kvDtype,
    identity.rotaryTable,
    identity.numerics,
    identity.groups.map(({ window, layers }) => [window, layers]),
    identity.probe,
  ]);
}

/** A copy: what the caller has may be handed over to another thread meanwhile. */
function littleEndian(tokens: Int32Array): Buffer {
  const bytes = Buffer.alloc(tokens.byteLength);
  bytes.set(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength));
  return endianness() === "LE" ? bytes : bytes.swap32();
}
