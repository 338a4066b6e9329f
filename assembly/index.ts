// The WebAssembly kernels: what TypeScript may call. Operations that a team of threads shares go through `publish`.

export { tile2, tile3, tile4, tile5 } from "./linear";
export { packInOut, packOutIn, unpack } from "./pack";
export { embedInt8, packInOutInt8, packOutInInt8 } from "./pack-int8";
export { quantiseRows } from "./quantise";
export { addRowsAt, embed, gatherRows, stretchMaxima } from "./rows";
export { commandAddress, help, publish, wait } from "./team";
