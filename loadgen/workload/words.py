"""Common English words that nearly every tokenizer has as one token, for prompts without a tokenizer."""

from typing import Final

_TEXT: Final = (
    "able about above across after again against age ago air all along also always among another answer any area arm "
    "army around art ask away baby back bad bank base bed before begin behind best better between big bird black blood "
    "blue board boat body book both box boy bring brother build business call can car care case center change child "
    "church city class clear close cold come common control cost could country course cut dark day dead deal death "
    "deep do doctor dog door down draw drive dry during each early earth east easy eat edge effect end enough even "
    "evening event ever every eye face fact fall family far farm fast father feel feet few field fight final find fine "
    "fire first fish five floor follow food foot force form four free friend from front full game garden get girl give "
    "glass gold good great green ground group grow guess gun hair half hand happy hard have he head hear heart heat "
    "heavy help here high hill history hold home hope horse hot hour house how human hundred husband ice idea image "
    "inside iron island job join judge just keep kind king kitchen knew land language large last late laugh law lay "
    "lead learn left leg less letter level life light like line list little live local long look loss love low machine "
    "main make man many map mark market matter mean measure meet member men mile milk mind minute miss model money "
    "month moon more morning most mother mountain mouth move much music name nation nature near need never new news "
    "next night north nose note number ocean off office oil old once one open order other over page paper part party "
    "past path peace people period person picture piece place plan plant play point police poor power present press "
    "price problem produce public put question quick quiet race rain reach read real reason record red report rest "
    "rich right ring river road rock role room rose round rule run safe sail same sand save school science sea season "
    "seat second see sell send sense serve set seven ship shop short show side sign simple sing sister sit six size "
    "skin sky sleep small snow social soft some son song soon sound south space speak stage stand star start state "
    "station stay step still stone stop store story street strong student study such summer sun sure surface system "
    "table take talk teach team ten test thank thing think third this three time today together top total touch town "
    "trade train travel tree true try turn two under union unit until up use value very view visit voice wait walk "
    "wall want war warm watch water way weather week weight well west wheel white whole wide wife wild will wind "
    "window winter wish woman wonder wood word work world write year yellow yes young")
COMMON: Final = tuple(_TEXT.split())
