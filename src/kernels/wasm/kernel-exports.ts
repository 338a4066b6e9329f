/** What the WebAssembly module offers (assembly/index.ts). Addresses and strides are in bytes. */
export interface KernelExports {
  packInOut(
    weight: number,
    inFeatures: number,
    outFeatures: number,
    src: number,
    srcCols: number,
    dtype: number,
    firstRow: number,
    rowCount: number,
  ): number;
  packOutIn(
    weight: number,
    inFeatures: number,
    src: number,
    dtype: number,
    firstRow: number,
    rowCount: number,
  ): number;
  packInOutInt8(
    weight: number,
    inFeatures: number,
    outFeatures: number,
    src: number,
    srcCols: number,
    dtype: number,
    firstRow: number,
    rowCount: number,
  ): number;
  packOutInInt8(
    weight: number,
    inFeatures: number,
    src: number,
    dtype: number,
    firstRow: number,
    rowCount: number,
  ): number;
  unpack(out: number, src: number, dtype: number, count: number): number;
  embed(out: number, outStride: number, tokenIds: number, rows: number, weight: number, width: number): void;
  embedInt8(
    out: number,
    outStride: number,
    tokenIds: number,
    rows: number,
    weight: number,
    width: number,
  ): void;
  addRowsAt(
    x: number,
    xStride: number,
    indices: number,
    rows: number,
    table: number,
    tableStride: number,
    width: number,
  ): void;
  gatherRows(
    out: number,
    outStride: number,
    x: number,
    xStride: number,
    indices: number,
    rows: number,
    width: number,
  ): void;
  quantiseRows(out: number, x: number, xStride: number, rows: number, width: number): void;
  stretchMaxima(
    out: number,
    outStride: number,
    x: number,
    xStride: number,
    rows: number,
    width: number,
  ): void;

  /** Where an operation that the team shares is written: assembly/team.ts. */
  commandAddress(): number;
  /** Publishes it, works along and waits: 1 when it is done, 0 when that takes long. */
  publish(): number;
  /** Waits on. */
  wait(): number;
  /** A helper's life. */
  help(thread: number): void;
}
