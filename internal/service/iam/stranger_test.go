package iam_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkas "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	sdkec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	sdkeks "github.com/aws/aws-sdk-go-v2/service/eks"
	sdkevents "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sdkssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsapi/schema"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var rewrite = flag.Bool("update", false, "write the golden files")

// strangers is what an administrator of another account is answered, operation by operation.
var strangers = filepath.Join("testdata", "stranger.golden")

// told are the operations that say something of another account, as on AWS.
var told = map[string]string{
	"STS GetAccessKeyInfo": "whose a key is, is no secret",
}

// TestStranger has an administrator of another account call every served operation on what the
// first account has, by its ids, names and ARNs. What is answered is in the golden file; nobody
// learns anything of the first account, and nothing of it changes.
func TestStranger(t *testing.T) {
	d := identitytest.Open(t, everything)
	things := belongings(t, d)
	const elsewhere = "111111111111"
	if _, err := identity.EnsureRoot(t.Context(), d.Store, elsewhere); err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:iam::" + elsewhere + ":user/admin"
	d.Update(t, func(tx *store.Tx) {
		tx.Users.Put(arn, resource.User{Account: elsewhere, ARN: arn, Name: "admin", Path: "/", ID: "AIDAADMIN", Inline: map[string]string{
			"all": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`}})
		tx.AccessKeys.Put("AKIAADMIN", resource.AccessKey{Account: elsewhere, ID: "AKIAADMIN", Secret: "secret", Principal: arn, Active: true})
	})
	before := records(t, d, elsewhere)
	cfg := d.As("AKIAADMIN", "secret", "")
	cfg.RetryMaxAttempts = 5 // the SDK may drop its connection under a long answer that comes at once
	var lines []string
	for _, s := range everything(d) {
		client := sdkClient(s.ID, cfg)
		if client == nil {
			continue // EKS Auth, whose one operation takes a token of a cluster and no name of anything
		}
		for _, op := range s.Operations {
			if op.Handle.New == nil {
				continue
			}
			name := s.ID + " " + op.Name
			method := reflect.ValueOf(client).MethodByName(op.Name)
			in := reflect.New(method.Type().In(1).Elem())
			fill(s, &s.Shapes[op.Input], in.Elem(), things, op.Name)
			results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
			err, _ := results[1].Interface().(error)
			said, outcome := fmt.Sprint(err), "ok"
			if err == nil {
				raw, err := json.Marshal(results[0].Interface())
				if err != nil {
					t.Fatal(err)
				}
				said = string(raw)
			} else {
				outcome = refusalOf(t, name, err)
			}
			lines = append(lines, name+": "+outcome)
			// The first account's id, but for where it was in the request.
			for _, v := range things {
				said = strings.ReplaceAll(said, v, "")
			}
			if strings.Contains(said, account) && told[name] == "" {
				t.Errorf("%s tells %s", name, said)
			}
		}
	}
	after := records(t, d, elsewhere)
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if before[key] != after[key] {
			t.Errorf("%s was\n%s\nand is\n%s", key, before[key], after[key])
		}
		delete(after, key)
	}
	for key := range after {
		t.Errorf("there is a new %s", key)
	}
	got := strings.Join(lines, "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile(strangers, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(strangers)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(string(want), "\n")
	for _, line := range lines {
		if !slices.Contains(wanted, line) {
			t.Errorf("%s is not what %s says (-update)", line, strangers)
		}
	}
	if len(wanted) != len(lines)+1 {
		t.Errorf("%d operations, %d in %s (-update)", len(lines), len(wanted)-1, strangers)
	}
}

func sdkClient(id string, cfg aws.Config) any {
	switch id {
	case "EKS":
		return sdkeks.NewFromConfig(cfg)
	case "EC2":
		return sdkec2.NewFromConfig(cfg)
	case "IAM":
		return sdkiam.NewFromConfig(cfg)
	case "STS":
		return sdksts.NewFromConfig(cfg)
	case "Auto Scaling":
		return sdkas.NewFromConfig(cfg)
	case "SSM":
		return sdkssm.NewFromConfig(cfg)
	case "SQS":
		return sdksqs.NewFromConfig(cfg)
	case "EventBridge":
		return sdkevents.NewFromConfig(cfg)
	}
	return nil
}

// refusalOf is the status and code of an answer. The SDK must have sent the request.
func refusalOf(t *testing.T, name string, err error) string {
	t.Helper()
	var refused smithy.APIError
	var answered *smithyhttp.ResponseError
	if !errors.As(err, &refused) || !errors.As(err, &answered) {
		t.Errorf("%s: %v", name, err)
		return "nothing"
	}
	if answered.HTTPStatusCode() >= http.StatusInternalServerError {
		t.Errorf("%s: %v", name, err)
	}
	return fmt.Sprintf("%d %s", answered.HTTPStatusCode(), refused.ErrorCode())
}

// fill gives the members of an input that have a name of something the first account's, and the
// others that are required any value.
func fill(s *awsapi.Service, shape *schema.Shape, v reflect.Value, things map[string]string, path string) {
	for _, m := range shape.Members {
		field := v.FieldByName(strings.ToUpper(m.Name[:1]) + m.Name[1:])
		if !field.IsValid() {
			continue // newer than the SDK
		}
		value, known := lookup(things, path+"."+m.Name)
		if known || m.Required {
			give(s, &s.Shapes[m.Shape], field, things, path+"."+m.Name, value)
		}
	}
}

// lookup finds a value by the member's path, or by its own name in the singular; "" leaves it out.
func lookup(things map[string]string, path string) (string, bool) {
	if v, ok := things[path]; ok {
		return v, v != ""
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	name = strings.ToUpper(name[:1]) + name[1:]
	for _, n := range []string{name, strings.TrimSuffix(name, "s")} {
		if v, ok := things[n]; ok {
			return v, true
		}
	}
	return "", false
}

func give(s *awsapi.Service, shape *schema.Shape, v reflect.Value, things map[string]string, path, value string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1800000000, 0)))
			return
		}
		fill(s, shape, v, things, path)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("x"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		give(s, &s.Shapes[shape.Elem.Shape], v.Index(0), things, path, value)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf("v"))
	case reflect.String:
		switch {
		case value == "" && len(shape.Enum) > 0:
			value = shape.Enum[0]
		case value == "":
			value = "x"
		}
		v.SetString(value)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(max(1, int64(shape.Min)))
	}
}

// records are all records but those of an account, as JSON, by table and key.
func records(t *testing.T, d *identitytest.Door, but string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := d.Store.View(func(tx *store.Tx) error {
		v := reflect.ValueOf(tx).Elem()
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			for key, record := range v.Field(i).MethodByName("All").Call(nil)[0].Seq2() {
				raw, err := json.Marshal(record.Interface())
				if err != nil {
					return err
				}
				if !strings.Contains(key.String()+string(raw), but) {
					out[f.Name+" "+key.String()] = string(raw)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
