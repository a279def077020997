package ec2

import (
	"context"
	"crypto/ed25519"
	"crypto/md5" // of no security: it is what EC2's fingerprints are
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // as MD5
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DescribeKeyPairs lists key pairs.
func (s *Service) DescribeKeyPairs(ctx context.Context, call awsapi.Call, in *ec2.DescribeKeyPairsInput) (*ec2.DescribeKeyPairsOutput, error) {
	out := &ec2.DescribeKeyPairsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		ids := in.KeyPairIds
		for _, name := range in.KeyNames {
			id := ""
			for k := range tx.KeyPairs.Values(func(k resource.KeyPair) bool { return k.Home == homeOf(call) && k.Name == name }) {
				id = k.ID
			}
			if id == "" {
				return fault("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
			}
			ids = append(slices.Clone(ids), id)
		}
		out.KeyPairs, _, err = kind[resource.KeyPair, ec2.KeyPairInfo]{
			noun: provision.KeyPairs, table: tx.KeyPairs,
			home:     func(k resource.KeyPair) resource.Home { return k.Home },
			describe: func(k resource.KeyPair) ec2.KeyPairInfo { return describeKeyPair(k, is(in.IncludePublicKey)) },
			id:       func(k ec2.KeyPairInfo) string { return *k.KeyPairId },
			tags:     func(k ec2.KeyPairInfo) []ec2.Tag { return k.Tags },
			fields: fields[ec2.KeyPairInfo]{
				"key-pair-id": func(k ec2.KeyPairInfo) []string { return text(k.KeyPairId) },
				"key-name":    func(k ec2.KeyPairInfo) []string { return text(k.KeyName) },
				"key-type":    func(k ec2.KeyPairInfo) []string { return text(k.KeyType) },
				"fingerprint": func(k ec2.KeyPairInfo) []string { return text(k.KeyFingerprint) },
			},
		}.list(homeOf(call), query{ids: ids, filters: in.Filters})
		return err
	})
}

func describeKeyPair(k resource.KeyPair, public bool) ec2.KeyPairInfo {
	out := ec2.KeyPairInfo{
		KeyPairId: &k.ID, KeyName: &k.Name, KeyFingerprint: &k.Fingerprint, KeyType: new(keyType(k.PublicKey)), CreateTime: &k.Created, Tags: tagSet(k.Tags),
	}
	if public {
		out.PublicKey = &k.PublicKey
	}
	return out
}

// CreateKeyPair makes a key pair and gives its private half to the caller alone.
func (s *Service) CreateKeyPair(ctx context.Context, call awsapi.Call, in *ec2.CreateKeyPairInput) (*ec2.CreateKeyPairOutput, error) {
	tags, err := specTags(in.TagSpecifications, "key-pair")
	if err != nil {
		return nil, err
	}
	if err := reject(ask{"The key format " + deref(in.KeyFormat), or(deref(in.KeyFormat), ec2.KeyFormatPem) != ec2.KeyFormatPem}); err != nil {
		return nil, err
	}
	k := resource.KeyPair{Home: homeOf(call), ID: awsid.New("key"), Name: *in.KeyName, Created: call.Time, Tags: tags["key-pair"]}
	fill := newRSA
	if deref(in.KeyType) == ec2.KeyTypeEd25519 {
		fill = newED25519
	}
	material, err := fill(&k)
	if err != nil {
		return nil, fmt.Errorf("making a key pair: %w", err)
	}
	out := &ec2.CreateKeyPairOutput{KeyPairId: &k.ID, KeyName: &k.Name, KeyFingerprint: &k.Fingerprint, KeyMaterial: &material, Tags: tagSet(k.Tags)}
	return out, s.addKeyPair(ctx, call, in.DryRun, k)
}

// newRSA fills in a key pair of type rsa and returns its private half.
func newRSA(k *resource.KeyPair) (string, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", err
	}
	k.Fingerprint = colons(sha1.Sum(der)) // of the private half, unlike an imported one's
	k.PublicKey = "ssh-rsa " + base64.StdEncoding.EncodeToString(wireKey(&private.PublicKey)) + " " + k.Name
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})), nil
}

// newED25519 is newRSA for the type ed25519.
func newED25519(k *resource.KeyPair) (string, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, k.Name)
	if err != nil {
		return "", err
	}
	wire, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	k.PublicKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(wire))) + " " + k.Name
	k.Fingerprint, _ = importedFingerprint(k.PublicKey) // it is one: it has just been made
	return string(pem.EncodeToMemory(block)), nil
}

// ImportKeyPair keeps the public half of a key pair of the caller's: RSA or ED25519, in
// OpenSSH's form.
func (s *Service) ImportKeyPair(ctx context.Context, call awsapi.Call, in *ec2.ImportKeyPairInput) (*ec2.ImportKeyPairOutput, error) {
	tags, err := specTags(in.TagSpecifications, "key-pair")
	if err != nil {
		return nil, err
	}
	public := strings.TrimSpace(string(in.PublicKeyMaterial))
	fingerprint, ok := importedFingerprint(public)
	if !ok {
		return nil, fault("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	k := resource.KeyPair{
		Home: homeOf(call), ID: awsid.New("key"), Name: *in.KeyName, Fingerprint: fingerprint, PublicKey: public, Created: call.Time, Tags: tags["key-pair"],
	}
	out := &ec2.ImportKeyPairOutput{KeyPairId: &k.ID, KeyName: &k.Name, KeyFingerprint: &k.Fingerprint, Tags: tagSet(k.Tags)}
	return out, s.addKeyPair(ctx, call, in.DryRun, k)
}

func (s *Service) addKeyPair(ctx context.Context, call awsapi.Call, dryRun *bool, k resource.KeyPair) error {
	return s.update(ctx, call, dryRun, func(tx *store.Tx) error {
		for range tx.KeyPairs.Values(func(o resource.KeyPair) bool { return o.Home == k.Home && o.Name == k.Name }) {
			return fault("InvalidKeyPair.Duplicate", "The keypair already exists")
		}
		tx.KeyPairs.Put(k.ID, k)
		return nil
	})
}

// DeleteKeyPair forgets a key pair. One that is not there is no error.
func (s *Service) DeleteKeyPair(ctx context.Context, call awsapi.Call, in *ec2.DeleteKeyPairInput) (*ec2.DeleteKeyPairOutput, error) {
	if in.KeyName == nil && in.KeyPairId == nil {
		return nil, missing("KeyName")
	}
	out := &ec2.DeleteKeyPairOutput{Return: new(true)}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for id, k := range tx.KeyPairs.All() {
			if k.Home == homeOf(call) && (id == deref(in.KeyPairId) || in.KeyPairId == nil && k.Name == *in.KeyName) {
				tx.KeyPairs.Delete(id)
				out.KeyPairId = &id
			}
		}
		return nil
	})
}

// keyType is the type of a public key in OpenSSH's form.
func keyType(public string) string {
	if strings.HasPrefix(public, "ssh-ed25519 ") {
		return ec2.KeyTypeEd25519
	}
	return ec2.KeyTypeRsa
}

// wireKey is a public key as SSH sends it: its type, the exponent and the modulus.
func wireKey(k *rsa.PublicKey) []byte {
	out := wireString(nil, []byte("ssh-rsa"))
	out = wireString(out, big.NewInt(int64(k.E)).Bytes())
	return wireString(out, append([]byte{0}, k.N.Bytes()...)) // the modulus has its highest bit set: positive all the same
}

func wireString(to, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(s))), s...)
}

// importedFingerprint is what EC2 calls the fingerprint of an imported key: the MD5 of an
// RSA key in DER, the SHA-256 of an ED25519 key as SSH sends it.
func importedFingerprint(public string) (string, bool) {
	parts := strings.Fields(public)
	if len(parts) < 2 {
		return "", false
	}
	raw, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil {
		return "", false
	}
	var fields [][]byte
	for rest := raw; len(rest) > 0; {
		if len(rest) < 4 || uint32(len(rest)-4) < binary.BigEndian.Uint32(rest) {
			return "", false
		}
		n := binary.BigEndian.Uint32(rest)
		fields, rest = append(fields, rest[4:4+n]), rest[4+n:]
	}
	if len(fields) == 0 || string(fields[0]) != parts[0] {
		return "", false
	}
	switch {
	case parts[0] == "ssh-rsa" && len(fields) == 3 && len(fields[1]) <= 4:
		e := new(big.Int).SetBytes(fields[1])
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(fields[2]), E: int(e.Int64())})
		if err != nil {
			return "", false
		}
		return colons(md5.Sum(der)), true
	case parts[0] == "ssh-ed25519" && len(fields) == 2 && len(fields[1]) == 32:
		sum := sha256.Sum256(raw)
		return base64.StdEncoding.EncodeToString(sum[:]), true
	}
	return "", false
}

// colons writes a hash as fingerprints are written.
func colons[T [16]byte | [20]byte](sum T) string {
	var parts []string
	for i := range len(sum) {
		parts = append(parts, fmt.Sprintf("%02x", sum[i]))
	}
	return strings.Join(parts, ":")
}
