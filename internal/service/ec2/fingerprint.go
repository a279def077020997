package ec2

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// fingerprint tells requests with one client token apart. forget takes out what may
// differ between two that mean the same.
func fingerprint[T any](in T, forget func(*T)) string {
	forget(&in)
	// A decoded request is plain data. Should it ever not be, no two requests are the
	// same, and a replay is refused rather than a mismatch let through.
	raw, err := json.Marshal(in)
	if err != nil {
		return "unknown: " + err.Error()
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
