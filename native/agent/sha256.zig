//! SHA-256 of Zig's standard library behind a C ABI. Compiled once for every CPU of the ABI and, where the
//! instruction set has instructions for it, a second time with them; sha256.c picks at run time.
const std = @import("std");
const builtin = @import("builtin");
const Sha256 = std.crypto.hash.sha2.Sha256;

pub const panic = std.debug.no_panic;

const accelerated = switch (builtin.cpu.arch) {
    .x86_64 => std.Target.x86.featureSetHasAll(builtin.cpu.features, .{ .sha, .avx2 }),
    .aarch64 => std.Target.aarch64.featureSetHas(builtin.cpu.features, .sha2),
    else => false,
};
const prefix = if (accelerated) "ek_sha256_fast_" else "ek_sha256_plain_";

// The state crosses a pipe as plain bytes (a put that is resumed), in 128 bytes of the C side.
comptime {
    std.debug.assert(@sizeOf(Sha256) <= 128 and @alignOf(Sha256) <= 16);
    @export(&init, .{ .name = prefix ++ "init" });
    @export(&update, .{ .name = prefix ++ "update" });
    @export(&final, .{ .name = prefix ++ "final" });
}

fn init(state: *Sha256) callconv(.c) void {
    state.* = Sha256.init(.{});
}

fn update(state: *Sha256, bytes: [*]const u8, length: usize) callconv(.c) void {
    state.update(bytes[0..length]);
}

fn final(state: *Sha256, digest: *[32]u8) callconv(.c) void {
    state.final(digest);
}
