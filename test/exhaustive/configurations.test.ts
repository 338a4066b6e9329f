/** Random models against a naive decoder in f64, on both kernels: `npm test` has a part of them. */
import { testDecoders, testGpt2Configurations } from "../conformance/random-configurations.js";

testGpt2Configurations(40);
testDecoders(60);
