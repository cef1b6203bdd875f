"""@rules_java: what Bazel's own files load to register toolchains; nothing here is Java."""

java_import = native.java_import
java_runtime = native.java_runtime
java_toolchain = native.java_toolchain
