"""What a jail holds: needs are resolved to a manifest, the manifest is built as an immutable tree."""
