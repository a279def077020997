package sigv4

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"sync"
)

// A KeyCache keeps signing keys, which take four HMACs to derive and are the
// same for a day. The zero value keeps 1024 of them, least recently used out
// first.
type KeyCache struct {
	mu    sync.Mutex
	byID  map[keyID]*list.Element
	order list.List // of *signingKey, most recent first
}

type keyID struct{ accessKey, date, region, service string }

type signingKey struct {
	id     keyID
	secret string // a rotated secret must not hit the old entry
	key    [32]byte
}

const cachedKeys = 1024

func (c *KeyCache) signing(accessKey, secret, date, region, service string) [32]byte {
	id := keyID{accessKey, date, region, service}
	c.mu.Lock()
	if e, ok := c.byID[id]; ok {
		if k := e.Value.(*signingKey); k.secret == secret {
			c.order.MoveToFront(e)
			key := k.key
			c.mu.Unlock()
			return key
		}
	}
	c.mu.Unlock()

	key := derive(secret, date, region, service)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byID[id]; ok {
		k := e.Value.(*signingKey)
		k.secret, k.key = secret, key
		c.order.MoveToFront(e)
		return key
	}
	if c.byID == nil {
		c.byID = make(map[keyID]*list.Element)
	}
	if c.order.Len() >= cachedKeys {
		oldest := c.order.Back()
		delete(c.byID, oldest.Value.(*signingKey).id)
		c.order.Remove(oldest)
	}
	c.byID[id] = c.order.PushFront(&signingKey{id, secret, key})
	return key
}

func derive(secret, date, region, service string) [32]byte {
	key := []byte("AWS4" + secret)
	for _, s := range []string{date, region, service, terminator} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(s))
		key = mac.Sum(nil)
	}
	return [32]byte(key)
}
