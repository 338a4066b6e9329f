/**
 * A record of a KV tier: one block of one group of layers, encrypted and authenticated. Pure.
 *
 * ```
 *   0    4  "LRKV"                                             ─ in the clear, and authenticated
 *   4    2  version                                              (so is the name, which is not in it)
 *   6    2  group of layers
 *   8    4  number of the block in its prefix
 *  12    4  bytes of K and V: n
 *  16   32  namespace: all else that K and V depend on
 *  48   12  nonce, random
 *  60   32  id of the block before it                          ─ encrypted
 *  92    t  the block's tokens, 4 bytes each
 *  …     n  K and V, as they lie in the engine's memory
 *  …    16  tag of AES-256-GCM
 * ```
 *
 * Integers are little-endian. Every length is known before a record is read, so nothing in it is parsed: a record is what was
 * asked for, to the last bit, or it is rejected, which is a miss. Opening never throws, whatever the bytes are.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { RejectReason } from "../protocol/kv-tier.js";
import { ID_BYTES, type PrefixBlock, RECORD_VERSION, type TierNamespace } from "./names.js";

const CIPHER = "aes-256-gcm";
const MAGIC = Buffer.from("LRKV", "latin1");
const AT = { version: 4, group: 6, index: 8, bytes: 12, namespace: 16, nonce: 48, sealed: 60 } as const;
const NONCE_BYTES = AT.sealed - AT.nonce;
const TAG_BYTES = 16;

/** Bytes of every record of a namespace. */
export function recordBytes({ identity: { blockSize, blockBytes } }: TierNamespace): number {
  return AT.sealed + ID_BYTES + 4 * blockSize + blockBytes + TAG_BYTES;
}

/**
 * A record, as a store keeps it under `namespace.nameOf(block, group)`.
 * @param payload the block's `blockBytes` bytes of K and V; only read
 */
export function sealRecord(
  namespace: TierNamespace,
  block: PrefixBlock,
  group: number,
  payload: Uint8Array,
): Buffer {
  const { blockBytes } = namespace.identity;
  if (payload.length !== blockBytes) {
    throw new RangeError(`A block has ${blockBytes} bytes, and ${payload.length} were given.`);
  }
  const record = Buffer.allocUnsafe(recordBytes(namespace));
  clearHeader(namespace, block, group).copy(record);
  randomBytes(NONCE_BYTES).copy(record, AT.nonce);
  const name = namespace.nameOf(block, group);
  const cipher = createCipheriv(CIPHER, namespace.sealKeyOf(name), record.subarray(AT.nonce, AT.sealed));
  cipher.setAAD(authenticated(record, name));
  let at: number = AT.sealed;
  for (const part of [block.parent, block.tokens, payload]) at += cipher.update(part).copy(record, at);
  cipher.final();
  cipher.getAuthTag().copy(record, at);
  return record;
}

/** What was found in a record: K and V in a buffer of their own, or why it is not the record that was asked for. */
export type OpenedRecord =
  | { readonly payload: Uint8Array<ArrayBuffer> }
  | { readonly rejected: RejectReason };

/**
 * Opens what a store has under `namespace.nameOf(block, group)`.
 * @param record whatever the store gave; only read
 */
export function openRecord(
  namespace: TierNamespace,
  block: PrefixBlock,
  group: number,
  record: Uint8Array,
): OpenedRecord {
  if (record.length !== recordBytes(namespace)) return { rejected: "length" };
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
  const wrong = wrongField(bytes, clearHeader(namespace, block, group));
  if (wrong !== null) return { rejected: wrong };
  const name = namespace.nameOf(block, group);
  const decipher = createDecipheriv(CIPHER, namespace.sealKeyOf(name), bytes.subarray(AT.nonce, AT.sealed), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(authenticated(bytes, name));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  const payloadAt = AT.sealed + ID_BYTES + block.tokens.length;
  const prefix = decipher.update(bytes.subarray(AT.sealed, payloadAt));
  const payload = ownBytes(decipher.update(bytes.subarray(payloadAt, -TAG_BYTES)));
  try {
    decipher.final();
  } catch {
    return { rejected: "authentication" };
  }
  // The name stands for both. They are compared all the same: what holds the key may have been wrong when it wrote.
  const isOfPrefix =
    prefix.subarray(0, ID_BYTES).equals(block.parent) && prefix.subarray(ID_BYTES).equals(block.tokens);
  return isOfPrefix ? { payload } : { rejected: "tokens" };
}

/** All that is in the clear but the nonce. */
function clearHeader({ identity, digest }: TierNamespace, block: PrefixBlock, group: number): Buffer {
  const header = Buffer.alloc(AT.nonce);
  MAGIC.copy(header);
  header.writeUInt16LE(RECORD_VERSION, AT.version);
  header.writeUInt16LE(group, AT.group);
  header.writeUInt32LE(block.index, AT.index);
  header.writeUInt32LE(identity.blockBytes, AT.bytes);
  digest.copy(header, AT.namespace);
  return header;
}

/** The first field in the clear that is not as expected, which says more than that the tag is wrong. */
function wrongField(record: Buffer, expected: Buffer): RejectReason | null {
  const differs = (from: number, to: number) => record.compare(expected, from, to, from, to) !== 0;
  if (differs(0, AT.group)) return "format";
  if (differs(AT.namespace, AT.nonce)) return "namespace";
  if (differs(AT.group, AT.bytes)) return "position";
  return differs(AT.bytes, AT.namespace) ? "length" : null;
}

/** What the tag covers besides what is encrypted. */
function authenticated(record: Buffer, name: string): Buffer {
  return Buffer.concat([record.subarray(0, AT.nonce), Buffer.from(name, "latin1")]);
}

/** The same bytes in a buffer that holds nothing else, so that it can be handed over to another thread. */
function ownBytes(bytes: Buffer): Uint8Array<ArrayBuffer> {
  const isAlone = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  return isAlone ? new Uint8Array(bytes.buffer as ArrayBuffer) : Uint8Array.from(bytes);
}
