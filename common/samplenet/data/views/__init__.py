"""Pictures of meshes from known cameras: drawn, written and read. See `rays`, `meshes`, `files`."""
