package eks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// fingerprint stands for a request: a second one with its clientRequestToken has to be the
// same. The caller leaves the token itself out of in.
func fingerprint(in any) (string, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}
