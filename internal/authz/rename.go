package authz

import (
	"encoding/json"
	"fmt"
	"strings"
)

// RenamePrincipals writes a policy with other names of the users, roles and sessions that are its
// principals: of each that it names, however it is spelled in JSON, now says the name once. All
// else stays as it is written.
func RenamePrincipals(document string, now func(name string) string) (string, error) {
	r := renamer{dec: json.NewDecoder(strings.NewReader(document)), document: document, now: now}
	if err := r.value(""); err != nil {
		return "", fmt.Errorf("renaming the principals of a policy: %w", err)
	}
	return r.out.String() + document[r.done:], nil
}

type renamer struct {
	dec      *json.Decoder
	document string
	now      func(string) string
	out      strings.Builder
	done     int64 // bytes of the document that are in out
}

// value reads one value; path is of the keys that lead to it.
func (r *renamer) value(path string) error {
	before := r.dec.InputOffset()
	tok, err := r.dec.Token()
	if err != nil {
		return err
	}
	switch v := tok.(type) {
	case string:
		if path == "/Statement/Principal/AWS" || path == "/Statement/NotPrincipal/AWS" {
			return r.rename(v, before)
		}
	case json.Delim:
		for r.dec.More() {
			inside := path
			if v == '{' {
				key, err := r.dec.Token()
				if err != nil {
					return err
				}
				inside += fmt.Sprint("/", key)
			}
			if err := r.value(inside); err != nil {
				return err
			}
		}
		_, err = r.dec.Token()
	}
	return err
}

// rename writes the string that was just read. It begins somewhere after before, behind no
// more than the comma or colon that separates it.
func (r *renamer) rename(name string, before int64) error {
	to := r.now(name)
	if to == name {
		return nil
	}
	text, err := json.Marshal(to)
	if err != nil {
		return err
	}
	start := before + int64(strings.IndexByte(r.document[before:], '"'))
	r.out.WriteString(r.document[r.done:start])
	r.out.Write(text)
	r.done = r.dec.InputOffset()
	return nil
}
