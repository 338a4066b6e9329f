/**
 * Most that the header of a GGUF file may hold. They lie well above what is published (the longest lists are those of
 * vocabularies, with a quarter of a million tokens and half a million merges), and so low that reading a header takes no more
 * than 64 MB beside its own bytes.
 */
const MIB = 1024 * 1024;

/** All of them are numbers of the kind that their names tell. */
export type GgufLimits = { readonly [Name in keyof typeof GGUF_LIMITS]: number };

export const GGUF_LIMITS = {
  /** Bytes from the start of the file to the end of its list of tensors. */
  headerBytes: 48 * MIB,
  /** Keys of metadata. */
  keys: 20_000,
  /** Tensors of all the files of a model. */
  tensors: 20_000,
  /** Bytes of a key; the format's own limit. */
  keyBytes: 65_535,
  /** Bytes of a tensor's name; llama.cpp's own limit. */
  nameBytes: 63,
  /** Bytes of a text that stands for itself: chat templates are the longest. */
  textBytes: 4 * MIB,
  /** Bytes of a text of a list: a token, a merge. */
  listedTextBytes: 65_535,
  /** Texts of all the lists of a file. */
  listedTexts: 1_000_000,
} as const;
