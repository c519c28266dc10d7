/**
 * Since 1.29 the builds of ONNX Runtime for Linux tell its maker, over the internet, of every session: versions, names and hashes of the
 * graph. Nobody who trains on machines of their own has asked for that, so it is off unless this variable is set already.
 *
 * The native library reads the environment when it is loaded. A thread's `process.env` is a copy that it does not see: the main thread
 * must load this file, as the package's entry does, before a thread loads the library.
 *
 * Source: github.com/kibae/onnxruntime-server, notes of release v1.29.0.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1';
